"""Closest points on a triangle surface, with smooth normals: what wrapping holds on to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import bvh

Array = NDArray[np.float64]
Surface = tuple[NDArray[np.floating], NDArray[np.integer]]  # vertices (N, 3) metres, triangles (T, 3)


@dataclass(frozen=True, eq=False)
class Closest:
    """For P query points: where each one's closest surface point lies.

    Attributes:
        points: (P, 3) metres. normals: (P, 3) unit, interpolated over the triangle.
        distance: (P,) metres. found: (P,) bool, False where nothing lies within the limit.
        triangle: (P,) int, the surface's triangle; weights: (P, 3), the point's place in it.
    """

    points: Array
    normals: Array
    distance: Array
    found: NDArray[np.bool_]
    triangle: NDArray[np.int64]
    weights: Array


class Target:
    """A surface prepared for closest-point queries.

    Raises:
        InputError: the surface has no triangles or a vertex that is not finite.
    """

    def __init__(self, surface: Surface) -> None:
        vertices, triangles = np.asarray(surface[0], np.float64), np.asarray(surface[1], np.int64)
        if len(triangles) == 0 or not np.isfinite(vertices).all():
            raise InputError("the surface to wrap is empty or not finite: sculpt it again with another seed")
        self.tree = bvh.build_tree(vertices, triangles)
        self.triangles = triangles[self.tree.order]
        self.normals = vertex_normals(vertices, triangles)

    def closest(self, points: NDArray[np.floating], limit_m: float) -> Closest:
        """Of each of the (P, 3) points, nothing farther than `limit_m` counts."""
        queries = np.ascontiguousarray(points, np.float64)
        tree = self.tree
        distance, which, two = bvh.nearest(queries, tree.corners, tree.box, tree.span, float(limit_m))
        found = which >= 0
        weights = np.column_stack([1.0 - two.sum(axis=1), two])
        which = np.maximum(which, 0)
        places = np.einsum("pk,pkc->pc", weights, tree.corners[which])
        normals = unit(np.einsum("pk,pkc->pc", weights, self.normals[self.triangles[which]]))
        places = np.where(found[:, None], places, queries)
        return Closest(places, normals, distance, found, tree.order[which], weights)


def vertex_normals(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> Array:
    """(V, 3) unit normals, area-weighted; zero at vertices without area."""
    vertices = np.asarray(vertices, np.float64)
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.stack(
        [
            sum(np.bincount(triangles[:, k], weights=face[:, c], minlength=len(vertices)) for k in range(3))
            for c in range(3)
        ],
        axis=1,
    )
    return unit(total)


def unit(vectors: Array) -> Array:
    """Vectors over their length; zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-20)
