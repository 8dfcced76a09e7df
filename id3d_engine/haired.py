"""A head's hair as strands: in its mesh and maps no more than a cap on the scalp.

What priors are trained on, and the sculpted surface where that is the mesh, have all hair as part of the
surface: beards stand off the chin, and long hair is a curtain. A head with strands is clean below them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .assets.appearance import AppearanceParameters
from .assets.hair import hair_offsets, with_cap
from .groom import groom
from .head import Head
from .priors.start import HeadStart
from .template import HeadTemplate


def raised(start: HeadStart, template: HeadTemplate, *, hanging: bool) -> NDArray[np.float32]:
    """(V, 3) a start head's skin with its hair: a cap for strands, or with `hanging` all of it."""
    if not hanging:
        return with_cap(template, start.skin, start.appearance)
    return start.skin + hair_offsets(template, start.skin, start.appearance)


def haired(head: Head, look: AppearanceParameters, template: HeadTemplate, seed: int) -> Head:
    """A head of the template's topology with strands for its look; its mesh grew from a start with a cap."""
    return replace(head, strands=groom(template, head.vertices, look, seed))


def worn(maps: AppearanceParameters, mesh: AppearanceParameters) -> AppearanceParameters:
    """The look of strands on a head whose maps and mesh were authored for different looks."""
    return replace(
        maps,
        style_logits=mesh.style_logits,
        hairline=mesh.hairline,
        hair_volume=mesh.hair_volume,
        hair_curl=mesh.hair_curl,
        parting=mesh.parting,
    )
