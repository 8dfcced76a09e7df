"""One step of Catmull-Clark subdivision as a linear map, for MakeHuman's coarse eyeballs.

A linear map can be applied to a mean, to shape components and to ARKit units alike, so a
subdivided eyeball still follows every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Subdivision:
    """One Catmull-Clark step of a closed quad mesh with V vertices and F faces.

    Attributes:
        operator: (V', V) sparse, V' = V + E + F: old vertices, then edge points, then face points.
        faces: (4F, 4) int32, four per old face, in the order of its corners.
    """

    operator: sparse.csr_matrix
    faces: NDArray[np.int32]

    def corner_values(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(F, 4, C) values at face corners (UVs) -> (4F, 4, C), bilinear inside each old face."""
        centre = values.mean(axis=1)
        out = np.empty((len(values), 4, 4, values.shape[2]), values.dtype)
        for corner in range(4):
            here = values[:, corner]
            out[:, corner, 0] = here
            out[:, corner, 1] = (here + values[:, (corner + 1) % 4]) / 2
            out[:, corner, 2] = centre
            out[:, corner, 3] = (here + values[:, (corner + 3) % 4]) / 2
        return out.reshape(-1, 4, values.shape[2])


def catmull_clark(faces: NDArray[np.integer], vertex_count: int) -> Subdivision:
    """The standard Catmull-Clark rules (Catmull and Clark 1978) for a closed mesh of quads.

    Args:
        faces: (F, 4) int, every edge shared by exactly two faces.
        vertex_count: V.
    """
    face_count = len(faces)
    sides = np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2)
    edges, edge_of_side = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    edge_of_side = edge_of_side.reshape(face_count, 4)
    edge_count = len(edges)

    face_point = sparse.csr_matrix(
        (np.full(4 * face_count, 0.25), (np.repeat(np.arange(face_count), 4), faces.ravel())),
        shape=(face_count, vertex_count),
    )
    ends = sparse.csr_matrix(
        (np.full(2 * edge_count, 0.5), (np.repeat(np.arange(edge_count), 2), edges.ravel())),
        shape=(edge_count, vertex_count),
    )
    beside = sparse.csr_matrix(
        (
            np.full(4 * face_count, 0.5),
            (edge_of_side.ravel(), np.repeat(np.arange(face_count), 4)),
        ),
        shape=(edge_count, face_count),
    )
    edge_point = 0.5 * ends + 0.5 * (beside @ face_point)

    valence = np.bincount(faces.ravel(), minlength=vertex_count).astype(float)
    around_faces = sparse.csr_matrix(
        (1.0 / valence[faces.ravel()], (faces.ravel(), np.repeat(np.arange(face_count), 4))),
        shape=(vertex_count, face_count),
    )
    around_edges = sparse.csr_matrix(
        (
            1.0 / valence[edges.ravel()],
            (edges.ravel(), np.repeat(np.arange(edge_count), 2)),
        ),
        shape=(vertex_count, edge_count),
    )
    scale = sparse.diags(1.0 / valence)
    keep = sparse.diags((valence - 3.0) / valence)
    vertex_point = scale @ (around_faces @ face_point) + 2.0 * scale @ (around_edges @ ends) + keep
    operator = sparse.vstack([vertex_point, edge_point, face_point]).tocsr()

    quads = np.empty((face_count, 4, 4), np.int32)
    for corner in range(4):
        quads[:, corner, 0] = faces[:, corner]
        quads[:, corner, 1] = vertex_count + edge_of_side[:, corner]
        quads[:, corner, 2] = vertex_count + edge_count + np.arange(face_count)
        quads[:, corner, 3] = vertex_count + edge_of_side[:, (corner + 3) % 4]
    return Subdivision(operator, quads.reshape(-1, 4))
