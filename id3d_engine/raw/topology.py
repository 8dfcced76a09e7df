"""`--topology dmtet`: the sculpted neutral surface itself as the head's mesh.

For hair or headgear that the template cannot follow. The surface of the neutral is kept; shape keys,
parts and maps come over from the template that was wrapped onto it, so all expressions and ARKit units
share one vertex list.

Limits: a tetrahedral grid joins lips that touch, and lids to eyes. The mesh has no slit there, no
sockets and no mouth's inside: a unit that opens the mouth stretches the triangles between the lips
over the opening. Expressions are the template's; the surfaces sculpted for them are not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..geometry.closest import Surface
from ..geometry.correspondence import Calm, Correspondence, Outside, correspond
from ..geometry.unwrap import unwrap
from ..template import EYE, HeadTemplate

if TYPE_CHECKING:
    from ..appearance.maps import Maps


@dataclass(frozen=True, eq=False)
class RawHead:
    """What `head.Head` needs, for N vertices and T triangles.

    Attributes:
        vertices: (N, 3) float32 metres.
        faces: (T, 4) int32, the last index repeated.
        uv: (T, 4, 2) float32 in [0, 1], v up, no overlap.
        part: (T,) uint8, as of the template's faces there.
        offsets: shape key -> (N, 3) float32 metres, in the order given.
        maps: In the new UVs.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    part: NDArray[np.uint8]
    offsets: dict[str, NDArray[np.float32]]
    maps: Maps


def raw_topology(
    surface: Surface,
    template: HeadTemplate,
    neutral: NDArray[np.floating],
    offsets: Mapping[str, NDArray[np.floating]],
    maps: Maps,
) -> RawHead:
    """Dress the raw neutral surface in what is known of the wrapped template. Deterministic.

    Args:
        surface: Vertices (N, 3) metres and triangles (T, 3) facing outward: the neutral of a `Sculpture`.
        template: The topology of `neutral`, `offsets` and `maps`.
        neutral: (V, 3) metres, wrapped onto the surface.
        offsets: Shape key -> (V, 3) metres.
        maps: In the template's UVs, with the sets of single expressions if there are any.

    Raises:
        MissingDependency: xatlas is not installed (extra `dmtet`).
        InputError: the surface is empty or not finite.
        Id3dError: no UV layout was found.
    """
    from .rebake import rebake

    target = Outside(template, neutral)
    match = correspond(surface, target, offsets)
    triangle_uv = unwrap(surface)
    triangles = np.asarray(surface[1], np.int32)
    return RawHead(
        vertices=np.asarray(surface[0], np.float32),
        faces=triangles[:, [0, 1, 2, 2]],
        uv=triangle_uv[:, [0, 1, 2, 2]],
        part=parts_of(match, template, triangles),
        offsets=carry_keys(match, surface, template, offsets),
        maps=rebake(maps, target, surface, triangle_uv, match),
    )


def carry_keys(
    match: Correspondence,
    surface: Surface,
    template: HeadTemplate,
    offsets: Mapping[str, NDArray[np.floating]],
) -> dict[str, NDArray[np.float32]]:
    """Shape key -> (N, 3) float32 metres: the template's offsets at the corresponding points, calmed."""
    calm = Calm(surface, vertex_parts(match, template) == EYE)
    return {
        name: calm(match.carry(key, template.triangles)).astype(np.float32) for name, key in offsets.items()
    }


def vertex_parts(match: Correspondence, template: HeadTemplate) -> NDArray[np.uint8]:
    """(N,) the part of each vertex's template face; `triangles` holds the faces twice over."""
    return np.asarray(template.part)[match.triangle % len(template.faces)]


def parts_of(
    match: Correspondence, template: HeadTemplate, triangles: NDArray[np.integer]
) -> NDArray[np.uint8]:
    """(T,) the lowest part of a triangle's corners: what joins skin and eye is skin."""
    return vertex_parts(match, template)[triangles].min(axis=1)
