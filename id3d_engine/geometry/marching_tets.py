"""Marching tetrahedra in torch, differentiable in the signed distances and in the positions.

The signed distance is NEGATIVE INSIDE and every triangle faces outward (towards positive values).
The case table is derived here from the sixteen sign patterns on one positively oriented
tetrahedron: cross the edges whose ends differ, walk around the polygon so that its normal points
to the outer vertices. Vertices are shared: one for each grid edge that the surface crosses, at
`p = (a * s_b - b * s_a) / (s_b - s_a)`, the zero of the distance interpolated along the edge.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..errors import Id3dError
from .tet_grid import TET_EDGES, TetGrid, gather

_POWERS = torch.tensor([1, 2, 4, 8])


@lru_cache(maxsize=1)
def case_table() -> tuple[tuple[tuple[int, int, int], ...], ...]:
    """For each pattern (bit i set: vertex i is inside), the triangles as positions in `TET_EDGES`."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    assert np.linalg.det(corners[1:] - corners[0]) > 0
    return tuple(_triangles_of(pattern, corners) for pattern in range(16))


def _triangles_of(pattern: int, corners: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    inside = [bool(pattern >> i & 1) for i in range(4)]
    cut = [e for e, (a, b) in enumerate(TET_EDGES) if inside[a] != inside[b]]
    if not cut:
        return ()
    middle = {e: corners[list(TET_EDGES[e])].mean(axis=0) for e in cut}
    outward = corners[~np.array(inside)].mean(axis=0) - corners[inside].mean(axis=0)
    # Edges that lie on one face of the tetrahedron share a vertex: walk along shared faces.
    ring = [cut[0]]
    while len(ring) < len(cut):
        ring.append(next(e for e in cut if e not in ring and set(TET_EDGES[e]) & set(TET_EDGES[ring[-1]])))
    points = np.array([middle[e] for e in ring])
    normal = sum(np.cross(p - points[0], q - points[0]) for p, q in pairwise(points[1:]))
    if np.dot(normal, outward) < 0:
        ring.reverse()
    return tuple((ring[0], p, q) for p, q in pairwise(ring[1:]))


@lru_cache(maxsize=1)
def _tables() -> tuple[Tensor, Tensor]:
    """Triangles of each pattern (16,), and their corners as positions in `TET_EDGES` (16, 6)."""
    table = torch.zeros(16, 6, dtype=torch.long)
    for pattern, triangles in enumerate(case_table()):
        flat = torch.tensor(triangles, dtype=torch.long).flatten()
        table[pattern, : len(flat)] = flat
    return torch.tensor([len(t) for t in case_table()]), table


def marching_tets(grid: TetGrid, positions: Tensor, sdf: Tensor) -> tuple[Tensor, Tensor]:
    """The zero level of `sdf` as triangles.

    Args:
        grid: The tetrahedra, V vertices; only its indices are used.
        positions: (V, 3) float, where the vertices are now (grid vertices plus offsets).
        sdf: (V,) float, negative inside; exactly 0 counts as outside.

    Returns:
        vertices (N, 3) and triangles (M, 3) int64, facing outward; both empty if no sign changes.
        Differentiable in `positions` and `sdf`, not in which edges are crossed.

    Raises:
        Id3dError: a signed distance is not finite.
    """
    if not torch.isfinite(sdf).all():
        raise Id3dError(
            "the signed distance has become NaN or infinite: lower the learning rate or the guidance"
        )
    inside = sdf.detach() < 0
    start, end = grid.edges.unbind(dim=1)
    cut = inside[start] != inside[end]
    index = torch.cumsum(cut, dim=0) - 1
    start, end = start[cut], end[cut]
    s_start, s_end = gather(sdf, start)[:, None], gather(sdf, end)[:, None]
    # Opposite signs: the difference is a sum of magnitudes and never zero.
    weight = s_start / (s_start - s_end)
    vertices = gather(positions, start) * (1 - weight) + gather(positions, end) * weight
    pattern = (inside[grid.tets] * _POWERS.to(sdf.device)).sum(dim=1)
    counts, table = (t.to(sdf.device) for t in _tables())
    count = counts[pattern]
    parts = []
    for triangles_a_tet in (1, 2):
        tets = torch.nonzero(count == triangles_a_tet).squeeze(1)
        corners = table[pattern[tets], : 3 * triangles_a_tet]
        parts.append(index[grid.tet_edges[tets].gather(1, corners)].reshape(-1, 3))
    return vertices, torch.cat(parts)
