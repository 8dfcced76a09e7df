"""Eyeballs, teeth and tongue follow the skin around them, each as one nearly rigid piece."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..template import HeadTemplate

Array = NDArray[np.float64]
NEIGHBOURS = 24


@lru_cache(maxsize=4)
def pieces(template: HeadTemplate) -> tuple[NDArray[np.int64], ...]:
    """Vertex indices of each connected piece, the skin (with sockets and mouth) first."""
    i, j = template.triangles[:, [0, 1]].T, template.triangles[:, [1, 2]].T
    count = len(template.vertices)
    graph = sparse.coo_matrix((np.ones(i.size), (i.ravel(), j.ravel())), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    found = [np.flatnonzero(label == k) for k in range(label.max() + 1)]
    return tuple(sorted(found, key=len, reverse=True))


def follow(template: HeadTemplate, start: Array, moved: Array) -> Array:
    """(V, 3): `moved` with every loose piece displaced like the skin next to it.

    An eyeball takes the mean displacement of its lids' rim, teeth and tongue that of the nearest
    vertices of the mouth's inside, so they keep shape and size.
    """
    out = moved.copy()
    skin = pieces(template)[0]
    rest = template.vertices
    rim = lid_rims(template)
    tree = cKDTree(rest[skin])
    for piece in pieces(template)[1:]:
        if template.regions["eyeballs"][piece].mean() > 0.5:
            side = "left" if rest[piece, 0].mean() > 0 else "right"
            near = rim[side]
        else:
            near = skin[np.unique(tree.query(rest[piece], k=NEIGHBOURS)[1])]
        out[piece] = start[piece] + (moved[near] - start[near]).mean(axis=0)
    return out


@lru_cache(maxsize=4)
def lid_rims(template: HeadTemplate) -> dict[str, NDArray[np.int64]]:
    """Side ("left", "right") -> vertices where lids meet sockets."""
    socket = template.regions["eye_sockets"]
    inside = (socket[template.faces] > 0.5).any(axis=1)
    rim = np.setdiff1d(np.unique(template.faces[inside]), np.flatnonzero(socket > 0.5))
    x = template.vertices[rim, 0]
    return {"left": rim[x > 0], "right": rim[x < 0]}
