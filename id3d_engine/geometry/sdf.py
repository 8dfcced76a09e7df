"""Signed distance of head meshes: loose eyeballs, teeth and tongue, an open neck, a mouth cavity.

What is wanted is the outside one can see: skin and eyes as one solid. The sign is the generalised
winding number of everything together (inside where it exceeds 1/2, so holes are closed by a smooth
membrane and overlapping parts are united); the distance is to those triangles only that border the
outside (an eyeball's back, inside the skull, does not count). The neck's rim is drawn down first, so
that the grid's floor at z = 0 cuts through a solid neck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import bvh

NECK_DEPTH_M = 0.06


@dataclass(frozen=True, eq=False)
class Distances:
    """What was measured at P points.

    Attributes:
        sdf: (P,) float32, metres, negative inside; magnitudes end at the limit asked for.
        nearest: (P, 3) int64, the corners of the nearest triangle, -1 where none is within the limit.
        weights: (P, 3) float32, the nearest point in that triangle, sums to 1.
    """

    sdf: NDArray[np.float32]
    nearest: NDArray[np.int64]
    weights: NDArray[np.float32]


class Solid:
    """A mesh prepared for signed distances.

    Args:
        vertices: (V, 3) metres.
        triangles: (T, 3), counter-clockwise from outside.
        drawn_down: Extend the lowest open rim straight down by this much (metres); 0 leaves it.

    Raises:
        InputError: there are no triangles, or a vertex is not finite.
    """

    def __init__(
        self, vertices: NDArray[np.floating], triangles: NDArray[np.integer], *, drawn_down: float = 0.0
    ) -> None:
        vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles, np.int64)
        if len(triangles) == 0 or not np.isfinite(vertices).all():
            raise InputError("a signed distance needs a mesh with triangles and finite vertices")
        self.source = np.arange(len(vertices))  # which of the caller's vertices each vertex stands for
        if drawn_down > 0:
            vertices, triangles, self.source = _draw_rim_down(vertices, triangles, drawn_down)
        self._all = bvh.build_tree(vertices, triangles)
        self.triangles = triangles[self._borders_outside(vertices, triangles)]
        self._outer = bvh.build_tree(vertices, self.triangles)

    def inside(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(P,) bool for points (P, 3)."""
        tree = self._all
        points = np.ascontiguousarray(points, np.float64)
        return bvh.winding(points, tree.corners, tree.span, tree.pole) > 0.5

    def measure(self, points: NDArray[np.floating], limit_m: float) -> Distances:
        """Signed distances at points (P, 3) that lie within `limit_m`; farther ones get +-limit.

        Consecutive points should be near one another (grid order is): it makes the search fast.
        """
        tree = self._outer
        points = np.ascontiguousarray(points, np.float64)
        distance, which, weights = bvh.nearest(points, tree.corners, tree.box, tree.span, float(limit_m))
        found = which >= 0
        nearest = np.full((len(points), 3), -1, np.int64)
        nearest[found] = self.source[self.triangles[tree.order[which[found]]]]
        sdf = np.where(self.inside(points), -distance, distance).astype(np.float32)
        full = np.column_stack([1.0 - weights.sum(axis=1), weights]).astype(np.float32)
        return Distances(sdf, nearest, full)

    def _borders_outside(
        self, vertices: NDArray[np.float64], triangles: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """(T,) bool: outside just in front and inside just behind, at one of four places at least."""
        corners = vertices[triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        step = 1e-4 * normal / np.maximum(length, 1e-20)
        places = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]], np.float64)
        places /= places.sum(axis=1, keepdims=True)
        borders = np.zeros(len(triangles), bool)
        for weights in places:
            middle = np.einsum("tcd,c->td", corners, weights)
            borders |= ~self.inside(middle + step) & self.inside(middle - step)
        return borders if borders.any() else np.ones(len(triangles), bool)


def signed_distance(
    points: NDArray[np.floating],
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    limit_m: float = np.inf,
) -> NDArray[np.float32]:
    """(P,) float32 signed distances (metres, negative inside) of points (P, 3) to a mesh."""
    return Solid(vertices, triangles).measure(points, limit_m).sdf


def open_edges(triangles: NDArray[np.integer]) -> NDArray[np.int64]:
    """(R, 2): the directed edges that only one triangle has."""
    edges = np.asarray(triangles, np.int64)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    base = int(edges.max()) + 1
    forward, backward = edges[:, 0] * base + edges[:, 1], edges[:, 1] * base + edges[:, 0]
    return edges[~np.isin(forward, backward)]


def _draw_rim_down(
    vertices: NDArray[np.float64], triangles: NDArray[np.int64], depth: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Add a vertical wall below the lowest open rim, and a floor to the wall."""
    edges = open_edges(triangles)
    source = np.arange(len(vertices))
    if len(edges) == 0:
        return vertices, triangles, source
    edges = edges[_rim_of(edges, int(np.argmin(vertices[edges[:, 0], 2])))]
    rim = np.unique(edges)
    lower = vertices[rim]
    lower[:, 2] = vertices[rim, 2].min() - depth
    below = np.zeros(len(vertices), np.int64)
    below[rim] = len(vertices) + np.arange(len(rim))
    a, b = edges[:, 0], edges[:, 1]
    floor = len(vertices) + len(rim)
    wall = [(b, a, below[a]), (b, below[a], below[b]), (below[b], below[a], np.full_like(a, floor))]
    added = np.concatenate([np.stack(part, axis=1) for part in wall])
    vertices = np.concatenate([vertices, lower, lower.mean(axis=0, keepdims=True)])
    return vertices, np.concatenate([triangles, added]), np.concatenate([source, rim, rim[:1]])


def _rim_of(edges: NDArray[np.int64], start: int) -> NDArray[np.int64]:
    """Indices of the edges in the closed rim that edge `start` belongs to."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = int(edges.max()) + 1
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    return np.flatnonzero(label[edges[:, 0]] == label[edges[start, 0]])
