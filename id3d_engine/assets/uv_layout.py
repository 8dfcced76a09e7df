"""One UV square for the whole head: islands found, scaled and packed without overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Array = NDArray[np.floating]

MARGIN = 0.006  # between islands and to the border: 6 texels at 1024


def islands(faces: NDArray[np.integer], uv: NDArray[np.floating]) -> NDArray[np.int64]:
    """(F,) island number of each face: faces that share an edge with equal UVs belong together."""
    corners = np.column_stack([faces.reshape(-1), np.round(uv.reshape(-1, 2) * 1e6)])
    _, corner = np.unique(corners, axis=0, return_inverse=True)
    corner = corner.reshape(faces.shape)
    rows = np.repeat(np.arange(len(faces)), faces.shape[1])
    incidence = sparse.csr_matrix((np.ones(rows.size), (rows, corner.ravel())))
    return connected_components(incidence @ incidence.T, directed=False)[1]


def pack(
    uv: NDArray[np.float32], island: NDArray[np.integer], main: int, scale: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Place the main island over the full width at the top and the others in shelves below it.

    Args:
        uv: (F, 4, 2). island: (F,) island numbers. main: the island that gets the most room.
        scale: one factor an island, relative to each other (the main one's is not used).

    Returns:
        (F, 4, 2) float32 in [0, 1].
    """
    out = np.empty_like(uv)
    boxes = {}
    for number in range(island.max() + 1):
        own = uv[island == number]
        low, high = own.min(axis=(0, 1)), own.max(axis=(0, 1))
        boxes[number] = (low, (high - low) * (1.0 if number == main else scale[number]))
    small = sorted((n for n in boxes if n != main), key=lambda n: -boxes[n][1][1])
    for shrink in np.geomspace(4.0, 0.02, 200):
        shelves = _shelves({n: boxes[n][1] * shrink for n in small}, small)
        if shelves is not None:
            break
    else:
        raise ValueError("the small islands do not fit: their scales differ by too much")
    places, used = shelves
    low, size = boxes[main]
    room = np.array([1 - 2 * MARGIN, 1 - used - 2 * MARGIN])
    inside = island == main
    out[inside] = (uv[inside] - low) / size * room + [MARGIN, used + MARGIN]
    for n in small:
        inside = island == n
        out[inside] = (uv[inside] - boxes[n][0]) * (scale[n] * shrink) + places[n]
    return out


STRIP = 0.2  # height of the strip at the bottom that holds the small islands


def _shelves(
    sizes: dict[int, NDArray[np.floating]], order: list[int]
) -> tuple[dict[int, NDArray[np.float64]], float] | None:
    places, x, y, height = {}, MARGIN, MARGIN, 0.0
    for n in order:
        width, tall = sizes[n]
        if x + width + MARGIN > 1:
            x, y, height = MARGIN, y + height + MARGIN, 0.0
        if x + width + MARGIN > 1 or y + tall + MARGIN > STRIP:
            return None
        places[n] = np.array([x, y])
        x, height = x + width + MARGIN, max(height, tall)
    return places, y + height


def coverage(uv: NDArray[np.floating], size: int) -> NDArray[np.int32]:
    """(size, size) how many faces cover each texel centre; 2 or more is an overlap."""
    count = np.zeros((size, size), np.int32)
    for quad in np.asarray(uv, np.float64) * size:
        x0, y0 = np.floor(quad.min(axis=0)).astype(int)
        x1, y1 = np.ceil(quad.max(axis=0)).astype(int)
        x, y = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
        halves = _inside(quad[0], quad[1], quad[2], x, y) | _inside(quad[0], quad[2], quad[3], x, y)
        count[y0:y1, x0:x1] += halves
    return count


def _inside(a: Array, b: Array, c: Array, x: Array, y: Array) -> NDArray[np.bool_]:
    def side(p: Array, q: Array) -> Array:
        return (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0])

    s = np.stack([side(a, b), side(b, c), side(c, a)])
    return (s > 1e-9).all(axis=0) | (s < -1e-9).all(axis=0)
