"""ID3D: one person's identity in, one expressive, relightable 3D head out.

The way from photo to shape key, in the order `generate.py` walks it:

    identity/    photos -> `Identity` (a face-recognition embedding)
    priors/      two 2D diffusion priors, normals and albedo, and score distillation through them
    geometry/    transformer-driven DMTet per expression, then one template wrapped onto all of them
    appearance/  transformer-driven albedo, roughness and specular, baked to the template's UVs
    groom/       hair, beard, brows and lashes as strands on the finished head
    head.py      the head bundle: one folder with mesh, shape keys, maps, GLB and previews

`stages.py` holds the stages, `topology.py` the meshes a head can have; `edit.py` walks the stages from
a finished head under a new text, `evaluate.py` measures a head, and `yardstick/` the method.

What they stand on: `template.py` (the head's one topology), `expressions.py` (the vocabulary), `rig/` (its
expressions on any head), `render/` (differentiable, CPU and CUDA), `assets/` (3D heads that priors are
trained on, in `priors/training/`; what a text wishes of a head), `models/` (downloaded bases: consent,
licence, sha256), `scans.py` (a user's own), `job.py` (progress, cancel, resume), `live.py` (what to look at
meanwhile), `errors.py`.

Importing this package is light: torch is loaded by the first thing that needs it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .edit import edit
    from .evaluate import evaluate
    from .generate import generate
    from .head import Head

__all__ = ["Head", "__version__", "edit", "evaluate", "generate"]

_HOME = {"Head": "head", "edit": "edit", "evaluate": "evaluate", "generate": "generate"}


class _Package(ModuleType):
    """Keeps `generate`, `edit` and `evaluate` the functions, though there are modules of these names.

    Importing such a module would set it as the package's attribute and so hide the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
