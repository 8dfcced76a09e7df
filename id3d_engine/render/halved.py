"""Some triangles of a mesh cut into smaller ones, where what is computed at vertices would be too coarse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Halved:
    """A mesh of V vertices with some of its edges halved; `pairs` are their ends, a level at a time.

    Attributes:
        triangles: (T', 3) int64.
        uv: (T', 3, 2).
        pairs: Per level (E, 2) int64; its midpoints follow the vertices of the level before.
    """

    triangles: Tensor
    uv: Tensor
    pairs: Sequence[Tensor]

    def vertices(self, values: Tensor) -> Tensor:
        """(V, C) positions, or whatever is linear in them -> (V', C)."""
        for pair in self.pairs:
            values = torch.cat([values, values[pair].mean(dim=1)])
        return values


def halved(triangles: Tensor, uv: Tensor, chosen: Tensor, vertices: Tensor, longest: float) -> Halved:
    """Cut each chosen triangle into four, again and again, until each one's edges are short on average.

    Args:
        triangles: (T, 3) int64.
        uv: (T, 3, 2) of their corners.
        chosen: (T,) bool. Beside others there are vertices inside edges; cracks have no width.
        vertices: (V, 3) metres.
        longest: Metres, the mean edge at most.
    """
    pairs: list[Tensor] = []
    while True:
        ends = torch.stack([triangles, triangles.roll(-1, 1)], dim=2)  # (T, 3, 2): of corner k and the next
        lengths = (vertices[ends[..., 0]] - vertices[ends[..., 1]]).norm(dim=2)
        chosen = chosen & (lengths.mean(dim=1) > longest)
        if not bool(chosen.any()):
            break
        edges, edge = torch.unique(ends[chosen].sort(dim=2).values.reshape(-1, 2), dim=0, return_inverse=True)
        middle = len(vertices) + edge.reshape(-1, 3)
        pairs.append(edges)
        vertices = torch.cat([vertices, vertices[edges].mean(dim=1)])
        corners, own = triangles[chosen], uv[chosen]
        triangles = torch.cat([triangles[~chosen], _four(corners, middle)])
        uv = torch.cat([uv[~chosen], _four(own, (own + own.roll(-1, 1)) / 2)])
        chosen = torch.arange(len(triangles)) >= len(triangles) - 4 * len(corners)
    return Halved(triangles, uv, pairs)


def _four(corners: Tensor, middles: Tensor) -> Tensor:
    """(C, 3, ...) corners and middles of the edges that begin at them -> (4C, 3, ...)."""
    a, b, c = corners.unbind(1)
    ab, bc, ca = middles.unbind(1)
    return torch.cat([torch.stack(x, 1) for x in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
