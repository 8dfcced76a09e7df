"""ID3D: one person's identity in, one expressive, relightable 3D head out.

The way from photo to shape key, in the order `generate.py` walks it:

    identity/    photos -> `Identity` (a face-recognition embedding)
    priors/      two 2D diffusion priors, normals and albedo, and score distillation through them
    geometry/    transformer-driven DMTet per expression, then one template wrapped onto all of them
    appearance/  transformer-driven albedo, roughness and specular, baked to the template's UVs
    head.py      the head bundle: one folder with mesh, shape keys, maps, GLB and previews

What they stand on: `template.py` (the head's one topology), `expressions.py` (the vocabulary),
`render/` (differentiable, CPU and CUDA), `assets/` (3D heads that priors are trained on),
`job.py` (progress, cancel, resume), `errors.py`.

Importing this package is light: torch is loaded by the first thing that needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .generate import generate
    from .head import Head

__all__ = ["Head", "__version__", "generate"]


def __getattr__(name: str) -> Any:
    if name == "generate":
        from .generate import generate

        return generate
    if name == "Head":
        from .head import Head

        return Head
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
