"""A finished head's hair: strands on it, and of hair that hangs no more than a cap in its mesh and maps.

What priors are trained on, and so what is sculpted, has long hair as part of the mesh: a curtain. On a
finished head strands hang there instead, over a clean neck.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .assets.appearance import AppearanceParameters
from .assets.hair import hair_offsets
from .groom import groom
from .head import Head
from .template import HeadTemplate


def capped(
    vertices: NDArray[np.float32], look: AppearanceParameters, template: HeadTemplate
) -> NDArray[np.float32]:
    """(V, 3) vertices with all of a look's hair raised -> the same without what hangs."""
    skin = vertices - hair_offsets(template, vertices, look)
    change = hair_offsets(template, skin, look, hanging=False) - hair_offsets(template, skin, look)
    return (vertices + change).astype(np.float32)


def haired(head: Head, look: AppearanceParameters, template: HeadTemplate, seed: int) -> Head:
    """A head of the template's topology with strands for its look; hanging hair needs a `capped` mesh."""
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
