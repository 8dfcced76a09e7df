"""Each quad into four, on a smooth surface that passes through the given vertices.

Catmull-Clark subdivision (1978) moves the vertices it is given inwards, which would shrink eyelids, lips
and eyeballs. Here they stay, and the new vertices are where the scheme puts them for control points c that
compensate for that: with S_v the scheme's rule for the given vertices v,

    c = (1 + (1 - S_v) + (1 - S_v)^2) v,

the first terms of the series for S_v^-1. Three terms reach three edges far, so what one unit of a face
moves stays local, and the whole is linear: shape keys are refined by the same matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

TERMS = 2  # beyond the first


@dataclass(frozen=True, eq=False)
class Subdivision:
    """Of a mesh of V vertices and F quads: V' = V + its edges + F vertices, 4 F quads.

    Attributes:
        matrix: (V', V), what becomes of positions or offsets; its first V rows are the identity.
        parents: (V', V), the mean of an edge's ends or a face's corners.
        faces: (4F, 4) int32; the four of a face follow one another.
    """

    matrix: sparse.csr_matrix
    parents: sparse.csr_matrix
    faces: NDArray[np.int32]

    def refine(self, positions: NDArray[np.floating]) -> NDArray[np.float32]:
        """(V, 3) -> (V', 3)."""
        return np.ascontiguousarray(self.matrix @ np.asarray(positions, np.float64), np.float32)

    def refine_offsets(self, offsets: NDArray[np.floating], held: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(V, 3) -> (V', 3); an edge or face of which nothing moves stays where it is.

        Args:
            held: (V',) where it stays unless all of it moves.
        """
        share = self.parents @ (np.abs(offsets).max(axis=1) > 0).astype(np.float64)
        moves = np.where(held, share > 1 - 1e-9, share > 0)
        return np.where(moves[:, None], self.refine(offsets), np.float32(0))


def subdivide(faces: NDArray[np.integer], count: int) -> Subdivision:
    """Args:
    faces: (F, 4) quads, the same way round; an edge has one face or two.
    count: V.
    """
    ends = np.stack([faces, np.roll(faces, -1, axis=1)], axis=2).reshape(-1, 2)
    edges, edge_of = np.unique(np.sort(ends, axis=1), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1, 4)  # (F, 4): of corner k and the next
    face_of = np.repeat(np.arange(len(faces)), 4)
    mean = _rows(face_of, faces.ravel(), np.full(faces.size, 0.25), (len(faces), count))

    near = _rows(edge_of.ravel(), face_of, np.ones(faces.size), (len(edges), len(faces)))
    inner = np.asarray(near.sum(axis=1)).ravel() == 2
    middle = _rows(
        np.repeat(np.arange(len(edges)), 2), edges.ravel(), np.full(edges.size, 0.5), (len(edges), count)
    )
    # Inner edges: the mean of two ends and two faces; at the mesh's border the middle.
    weight = sparse.diags(0.5 * inner)
    edge_points = sparse.diags(1 - 0.5 * inner) @ middle + weight @ (0.5 * near @ mean)

    scheme = sparse.vstack([_kept(edges, inner, faces, mean, middle, count), edge_points, mean]).tocsr()
    moved = sparse.identity(count) - scheme[:count]
    control = sparse.identity(count, format="csr")
    power = control
    for _ in range(TERMS):
        power = power @ moved
        control = control + power
    matrix = sparse.vstack([sparse.identity(count), scheme[count:] @ control]).tocsr()

    corner, after = faces, count + edge_of
    before, centre = np.roll(after, 1, axis=1), count + len(edges) + np.arange(len(faces))
    new = np.stack([corner, after, np.broadcast_to(centre[:, None], corner.shape), before], axis=2)
    parents = sparse.vstack([sparse.identity(count), middle, mean]).tocsr()
    return Subdivision(matrix, parents, new.reshape(-1, 4).astype(np.int32))


def subdivide_corners(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """(F, 4, C) values of faces' corners, such as UVs -> (4F, 4, C), linearly, in `subdivide`'s order."""
    after = (values + np.roll(values, -1, axis=1)) / 2
    centre = np.broadcast_to(values.mean(axis=1, keepdims=True), values.shape)
    new = np.stack([values, after, centre, np.roll(after, 1, axis=1)], axis=2)
    return np.ascontiguousarray(new.reshape(-1, *values.shape[1:]), np.float32)


def _kept(
    edges: NDArray[np.integer],
    inner: NDArray[np.bool_],
    faces: NDArray[np.integer],
    mean: sparse.csr_matrix,
    middle: sparse.csr_matrix,
    count: int,
) -> sparse.csr_matrix:
    """(V, V): (F + 2 R + (n - 3) v) / n inside, (1, 6, 1) / 8 along the border, with F and R the means of
    the n faces' and edges' middles."""
    faces_at = _rows(
        faces.ravel(), np.repeat(np.arange(len(faces)), 4), np.ones(faces.size), (count, len(faces))
    )
    edges_at = _rows(
        edges.ravel(), np.repeat(np.arange(len(edges)), 2), np.ones(edges.size), (count, len(edges))
    )
    border = edges_at @ sparse.diags((~inner).astype(float))
    on_border = np.asarray(border.sum(axis=1)).ravel() > 0
    valence = np.maximum(np.asarray(edges_at.sum(axis=1)).ravel(), 1)
    inside = (
        sparse.diags(1 / valence**2) @ (faces_at @ mean + 2 * edges_at @ middle)
        + sparse.diags((valence - 3) / valence)
    )  # fmt: skip
    # Two border edges meet: their middles' mean is half the vertex and a quarter of each neighbour.
    along = (
        0.5
        * sparse.diags(on_border / np.maximum(np.asarray(border.sum(axis=1)).ravel(), 1))
        @ border
        @ middle
    )
    along = along + sparse.diags(0.5 * on_border)
    used = np.asarray(edges_at.sum(axis=1)).ravel() > 0
    return (
        sparse.diags((used & ~on_border).astype(float)) @ inside + along + sparse.diags((~used).astype(float))
    ).tocsr()


def _rows(
    row: NDArray[np.integer], column: NDArray[np.integer], value: NDArray[np.floating], shape: tuple[int, int]
) -> sparse.csr_matrix:
    return sparse.coo_matrix((value, (row, column)), shape=shape).tocsr()
