"""Signed distance of head meshes: loose eyeballs, teeth and tongue, a mouth cavity, holes.

What is wanted is the outside one can see: skin and eyes as one solid. The sign is the generalised
winding number of everything together (inside where it exceeds 1/2, so holes are closed by a smooth
membrane and overlapping parts are united); the distance is to those triangles only that border the
outside (an eyeball's back, inside the skull, does not count).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..errors import InputError
from . import bvh


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

    Raises:
        InputError: there are no triangles, or a vertex is not finite.
    """

    def __init__(self, vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> None:
        vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles, np.int64)
        if len(triangles) == 0 or not np.isfinite(vertices).all():
            raise InputError("a signed distance needs a mesh with triangles and finite vertices")
        self._all = bvh.build_tree(vertices, triangles)
        self.triangles = triangles[self._borders_outside(vertices, triangles)]
        self._outer = bvh.build_tree(vertices, self.triangles)

    def inside(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(P,) bool for points (P, 3)."""
        return self._winding(points) > 0.5

    def distance(self, points: NDArray[np.floating], limit_m: float) -> NDArray[np.float64]:
        """(P,) unsigned distances to the outside, at most `limit_m`."""
        return self._nearest(points, limit_m)[0]

    def measure(
        self, points: NDArray[np.floating], limit_m: float, edges: NDArray[np.integer] | None = None
    ) -> Distances:
        """Signed distances at points (P, 3) that lie within `limit_m`; farther ones get +-limit.

        Consecutive points should be near one another (grid order is): it makes the search fast.
        `edges` (E, 2) between the points save most of the sign tests: where the distances of both
        ends sum to more than the edge's length, no surface lies between them.
        """
        tree = self._outer
        distance, which, weights = self._nearest(points, limit_m)
        found = which >= 0
        nearest = np.full((len(points), 3), -1, np.int64)
        nearest[found] = self.triangles[tree.order[which[found]]]
        inside = self.inside(points) if edges is None else self._inside_by_parts(points, distance, edges)
        sdf = np.where(inside, -distance, distance).astype(np.float32)
        full = np.column_stack([1.0 - weights.sum(axis=1), weights]).astype(np.float32)
        return Distances(sdf, nearest, full)

    def _winding(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        tree = self._all
        points = np.ascontiguousarray(points, np.float64)
        return bvh.winding(points, tree.corners, tree.span, tree.pole)

    def _nearest(
        self, points: NDArray[np.floating], limit_m: float
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        tree = self._outer
        points = np.ascontiguousarray(points, np.float64)
        return bvh.nearest(points, tree.corners, tree.box, tree.span, float(limit_m))

    def _borders_outside(
        self, vertices: NDArray[np.floating], triangles: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """(T,) bool: outside just in front and inside just behind, at one of four places at least.

        Behind a triangle the winding number is 1 higher than before it, so one query tells both.
        """
        corners = vertices[triangles]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        step = 1e-4 * normal / np.maximum(length, 1e-20)
        left = np.flatnonzero(length[:, 0] > 0)
        borders = np.zeros(len(triangles), bool)
        for weights in ((2, 2, 2), (4, 1, 1), (1, 4, 1), (1, 1, 4)):
            middle = np.einsum("tcd,c->td", corners[left], np.array(weights) / 6.0)
            front = self._winding(middle + step[left])
            borders[left] = (front > -0.5) & (front <= 0.5)
            left = left[~borders[left]]
        return borders if borders.any() else np.ones(len(triangles), bool)

    def _inside_by_parts(
        self, points: NDArray[np.floating], distance: NDArray[np.float64], edges: NDArray[np.integer]
    ) -> NDArray[np.bool_]:
        """One sign test for each part of the points that no surface divides."""
        start, end = edges.T
        length = np.linalg.norm(points[start] - points[end], axis=1)
        joined = edges[distance[start] + distance[end] > 1.0001 * length]
        label = parts(joined, len(points))
        first = np.unique(label, return_index=True)[1]
        return self.inside(points[first])[label]


def parts(edges: NDArray[np.integer], count: int) -> NDArray[np.int32]:
    """(count,) labels 0, 1, ... of the connected parts that edges (E, 2) make of `count` nodes."""
    ones = np.ones(len(edges), np.int8)
    graph = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]
