"""Sharp edges of a head: UV seams that are bent, as where the neck's wall meets the cap that closes it.

Normals that are smooth across such an edge belong to neither side, and catch light that reaches neither.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .head import Head

_BENT_DEG = 50.0


def creases(
    vertices: NDArray[np.floating], faces: NDArray[np.integer], uv: NDArray[np.floating]
) -> NDArray[np.int32]:
    """(E, 2) vertices of the edges at which a smooth surface should break, the lower index first.

    Args:
        vertices: (V, 3).
        faces: (F, 4); a triangle repeats its last index.
        uv: (F, 4, 2).
    """
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2)
    places = np.stack([uv, np.roll(uv, -1, axis=1)], axis=2).reshape(-1, 2, 2)
    face = np.repeat(np.arange(len(faces)), 4)
    real = ends[:, 0] != ends[:, 1]
    ends, places, face = ends[real], places[real], face[real]
    turned = ends[:, 0] > ends[:, 1]
    ends[turned], places[turned] = ends[turned, ::-1], places[turned, ::-1]
    order = np.lexsort(ends.T)
    ends, places, face = ends[order], places[order], face[order]
    pair = np.flatnonzero((ends[1:] == ends[:-1]).all(axis=1))
    corners = np.asarray(vertices, np.float64)[faces]
    # The diagonals' product; of a triangle, whose last two corners are one, its normal as well.
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-20)
    bent = (normal[face[pair]] * normal[face[pair + 1]]).sum(axis=1) < np.cos(np.radians(_BENT_DEG))
    seam = (places[pair] != places[pair + 1]).any(axis=(1, 2))
    return ends[pair[bent & seam]].astype(np.int32)


def creased(head: Head) -> Head:
    """The same head with its vertices doubled along its creases, so that smooth normals break there.

    The doubles follow the vertices of before.
    """
    sharp = set(map(tuple, creases(head.vertices, head.faces, head.uv).tolist()))
    faces, source = head.faces.copy(), list(range(len(head.vertices)))
    around: dict[int, list[int]] = {vertex: [] for edge in sharp for vertex in edge}
    for row in np.flatnonzero(np.isin(faces, list(around)).any(axis=1)).tolist():
        for vertex in set(faces[row].tolist()) & around.keys():
            around[vertex].append(row)
    for vertex, rows in sorted(around.items()):
        for side in _sides(vertex, head.faces[rows].tolist(), sharp)[1:]:
            own = [rows[k] for k in side]
            faces[own] = np.where(head.faces[own] == vertex, len(source), faces[own])
            source.append(vertex)
    return replace(head, vertices=head.vertices[source], faces=faces, shape_keys=head.shape_keys[:, source])


def _sides(vertex: int, faces: list[list[int]], sharp: set[tuple[int, ...]]) -> list[list[int]]:
    """Which of the faces around a vertex hang together by edges that are not sharp."""
    spokes = []
    for face in faces:
        corners = list(dict.fromkeys(face))
        at = corners.index(vertex)
        ends = {corners[at - 1], corners[(at + 1) % len(corners)]}
        spokes.append({end for end in ends if (min(end, vertex), max(end, vertex)) not in sharp})
    left, sides = list(range(len(faces))), []
    while left:
        side = [left.pop(0)]
        for one in side:  # grows as it is walked
            side += [other for other in left if spokes[one] & spokes[other]]
            left = [other for other in left if other not in side]
        sides.append(side)
    return sides
