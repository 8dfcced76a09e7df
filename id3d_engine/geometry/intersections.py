"""Which triangles of a mesh pass through others of it.

Candidates are pairs whose boxes overlap, found by a sweep along the longest axis; a pair crosses where an
edge of one passes through the other (Moeller and Trumbore, "Fast, Minimum Storage Ray/Triangle
Intersection", 1997). Triangles that share a vertex never count, nor do surfaces that merely touch.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

TOUCHING_M = 1e-4  # an edge that reaches less beyond a triangle presses on it, as lips do on lips


def self_intersecting(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(T,) triangles that pass through another, for (V, 3) vertices in metres and (T, 3) triangles."""
    crossed = np.zeros(len(triangles), np.bool_)
    if not len(triangles):
        return crossed
    corner = np.asarray(vertices, np.float64)[triangles]
    low, high = corner.min(axis=1), corner.max(axis=1)
    axis = int(np.ptp(low, axis=0).argmax())
    order = np.argsort(low[:, axis], kind="stable")
    turned = np.roll(np.arange(3), -axis)
    found = np.zeros(len(triangles), np.bool_)
    faces = np.ascontiguousarray(np.asarray(triangles, np.int64)[order])
    corner, low, high = (np.ascontiguousarray(x[order][..., turned]) for x in (corner, low, high))
    _sweep(corner, faces, low, high, TOUCHING_M, found)
    crossed[order] = found
    return crossed


@njit(cache=True, nogil=True)
def _sweep(
    corner: np.ndarray, faces: np.ndarray, low: np.ndarray, high: np.ndarray, slack: float, found: np.ndarray
) -> None:
    count = len(faces)
    for i in range(count):
        for j in range(i + 1, count):
            if low[j, 0] > high[i, 0]:
                break
            if low[j, 1] > high[i, 1] or high[j, 1] < low[i, 1]:
                continue
            if low[j, 2] > high[i, 2] or high[j, 2] < low[i, 2]:
                continue
            if found[i] and found[j]:
                continue
            shared = False
            for a in range(3):
                for b in range(3):
                    shared = shared or faces[i, a] == faces[j, b]
            if shared:
                continue
            for k in range(3):
                if _pierces(corner[i, k], corner[i, (k + 1) % 3], corner[j], slack) or _pierces(
                    corner[j, k], corner[j, (k + 1) % 3], corner[i], slack
                ):
                    found[i] = True
                    found[j] = True
                    break


@njit(cache=True, nogil=True)
def _pierces(begin: np.ndarray, end: np.ndarray, triangle: np.ndarray, slack: float) -> bool:
    """Whether a segment passes through a triangle, by more than `slack` on either side."""
    ux, uy, uz = triangle[1] - triangle[0]
    vx, vy, vz = triangle[2] - triangle[0]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = (nx * nx + ny * ny + nz * nz) ** 0.5
    if length == 0.0:
        return False
    px, py, pz = begin - triangle[0]
    qx, qy, qz = end - triangle[0]
    first = (px * nx + py * ny + pz * nz) / length
    last = (qx * nx + qy * ny + qz * nz) / length
    if not ((first > slack and last < -slack) or (first < -slack and last > slack)):
        return False
    share = first / (first - last)
    x, y, z = px + share * (qx - px), py + share * (qy - py), pz + share * (qz - pz)
    # Barycentric coordinates of the point where it meets the plane.
    s = ((y * vz - z * vy) * nx + (z * vx - x * vz) * ny + (x * vy - y * vx) * nz) / (length * length)
    t = ((uy * z - uz * y) * nx + (uz * x - ux * z) * ny + (ux * y - uy * x) * nz) / (length * length)
    return s >= 0.0 and t >= 0.0 and s + t <= 1.0
