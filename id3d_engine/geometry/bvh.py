"""A bounding-volume tree over triangles (Numba): nearest points and winding numbers.

Nearest points: depth-first descent, nearer box first, pruned by the best distance so far.
Winding numbers: the generalised winding number of Jacobson et al. 2013, whose far field is one
dipole a node (Barill et al. 2018, first order): `w = sum(A . r) / (4 pi |r|^3)`, A the node's
summed area vectors and r from the query to the node's centre; near triangles use their exact solid
angle (van Oosterom and Strackee 1983). It stays meaningful for meshes with holes and loose parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

LEAF = 4  # triangles
FAR = 2.2  # a node is far when its centre is this many radii away; errors stay below 0.05


@dataclass(frozen=True, eq=False)
class Tree:
    """Flat arrays over nodes (level by level) and triangles (in leaf order).

    Attributes:
        corners: (T, 3, 3) float64, sorted by leaf.
        order: (T,) int64, the triangle's index in the mesh.
        box: (N, 6) float64, low then high.
        span: (N, 4) int64: first triangle, end, both children (0 marks a leaf).
        pole: (N, 7) float64: centre, summed area vector, radius.
    """

    corners: NDArray[np.float64]
    order: NDArray[np.int64]
    box: NDArray[np.float64]
    span: NDArray[np.int64]
    pole: NDArray[np.float64]


def build_tree(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> Tree:
    """Median splits along the longest axis, level by level; triangles without area are left out."""
    corners = np.ascontiguousarray(vertices[triangles], np.float64)
    area = 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    order = np.flatnonzero((area * area).sum(axis=1) > 1e-24)
    centre = corners.mean(axis=1)
    levels, order = _split(centre, order)
    corners, area, centre = corners[order], area[order], centre[order]
    nodes = np.concatenate(levels)
    span = np.column_stack([nodes[:, :2], _children(levels)])
    low, high = corners.min(axis=1), corners.max(axis=1)
    box = np.column_stack([_over(np.minimum, low, nodes), _over(np.maximum, high, nodes)])
    size = np.linalg.norm(area, axis=1, keepdims=True)
    middle = _over(np.add, size * centre, nodes) / _over(np.add, size, nodes)
    # As far as the box's corner that is farthest from the middle: never less than the true radius.
    radius = np.linalg.norm(np.maximum(box[:, 3:] - middle, middle - box[:, :3]), axis=1)
    pole = np.column_stack([middle, _over(np.add, area, nodes), radius])
    return Tree(corners, order, box, span, pole)


def _split(centre: NDArray[np.float64], order: NDArray[np.int64]) -> tuple[list, NDArray[np.int64]]:
    """Levels of nodes, each (N, 3): first triangle, end, whether it splits; and the triangles' order."""
    levels, parts = [], np.array([[0, len(order)]])
    while True:
        splits = parts[:, 1] - parts[:, 0] > LEAF
        levels.append(np.column_stack([parts, splits]))
        if not splits.any():
            return levels, order
        parts = parts[splits]
        extent = _over(np.maximum, centre[order], parts) - _over(np.minimum, centre[order], parts)
        axis = extent.argmax(axis=1)
        count = parts[:, 1] - parts[:, 0]
        label = np.repeat(np.arange(len(parts)), count)
        place = np.repeat(parts[:, 0] - (np.cumsum(count) - count), count) + np.arange(len(label))
        inner = order[place]
        order[place] = inner[np.lexsort((centre[inner, axis[label]], label))]
        middle = parts.sum(axis=1) // 2
        parts = np.column_stack([parts[:, 0], middle, middle, parts[:, 1]]).reshape(-1, 2)


def _children(levels: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(N, 2) the children of all nodes in level order, 0 for leaves."""
    splits = np.concatenate(levels)[:, 2].astype(bool)
    children = np.zeros((len(splits), 2), np.int64)
    children[splits] = 1 + np.arange(2 * splits.sum()).reshape(-1, 2)
    return children


def _over(ufunc: np.ufunc, values: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.float64]:
    """`ufunc` reduced over values[first:end] for each row (first, end, ...) of parts."""
    padded = np.concatenate([values, values[:1]])  # reduceat wants every index below the length
    return ufunc.reduceat(padded, parts[:, :2].ravel(), axis=0)[::2]


@nb.njit(cache=True, fastmath=True)
def _on_triangle(px, py, pz, t):  # type: ignore[no-untyped-def]
    """Barycentric weights (of b and of c) of the triangle's point nearest to p, by Voronoi region."""
    ax, ay, az = t[0, 0], t[0, 1], t[0, 2]
    ux, uy, uz = t[1, 0] - ax, t[1, 1] - ay, t[1, 2] - az
    vx, vy, vz = t[2, 0] - ax, t[2, 1] - ay, t[2, 2] - az
    wx, wy, wz = px - ax, py - ay, pz - az
    d1 = ux * wx + uy * wy + uz * wz
    d2 = vx * wx + vy * wy + vz * wz
    if d1 <= 0 and d2 <= 0:
        return 0.0, 0.0
    uu = ux * ux + uy * uy + uz * uz
    vv = vx * vx + vy * vy + vz * vz
    uv = ux * vx + uy * vy + uz * vz
    d3, d4 = d1 - uu, d2 - uv
    if d3 >= 0 and d4 <= d3:
        return 1.0, 0.0
    d5, d6 = d1 - uv, d2 - vv
    if d6 >= 0 and d5 <= d6:
        return 0.0, 1.0
    vc = d1 * d4 - d3 * d2
    if vc <= 0 and d1 >= 0 and d3 <= 0:
        return d1 / (d1 - d3), 0.0
    vb = d5 * d2 - d1 * d6
    if vb <= 0 and d2 >= 0 and d6 <= 0:
        return 0.0, d2 / (d2 - d6)
    va = d3 * d6 - d5 * d4
    if va <= 0 and d4 >= d3 and d5 >= d6:
        s = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        return 1.0 - s, s
    total = va + vb + vc
    return vb / total, vc / total


@nb.njit(cache=True, fastmath=True)
def _to_triangle(px, py, pz, t):  # type: ignore[no-untyped-def]
    """Squared distance to the nearest point, and that point's weights of b and c."""
    v, w = _on_triangle(px, py, pz, t)
    u = 1.0 - v - w
    dx = px - (u * t[0, 0] + v * t[1, 0] + w * t[2, 0])
    dy = py - (u * t[0, 1] + v * t[1, 1] + w * t[2, 1])
    dz = pz - (u * t[0, 2] + v * t[1, 2] + w * t[2, 2])
    return dx * dx + dy * dy + dz * dz, v, w


@nb.njit(cache=True, fastmath=True)
def _to_box(px, py, pz, b):  # type: ignore[no-untyped-def]
    dx = max(b[0] - px, 0.0, px - b[3])
    dy = max(b[1] - py, 0.0, py - b[4])
    dz = max(b[2] - pz, 0.0, pz - b[5])
    return dx * dx + dy * dy + dz * dz


@nb.njit(cache=True, fastmath=True)
def nearest(points, corners, box, span, limit):  # type: ignore[no-untyped-def]
    """For each point (P, 3): distance, triangle in leaf order (-1: none within `limit`), weights (P, 2)."""
    count = len(points)
    distance, which = np.full(count, limit), np.full(count, -1, np.int64)
    weights = np.zeros((count, 2))
    stack, stack_d = np.empty(128, np.int64), np.empty(128)
    last = -1
    for p in range(count):
        px, py, pz = points[p, 0], points[p, 1], points[p, 2]
        best, found, bv, bw = limit * limit, -1, 0.0, 0.0
        if last >= 0:  # neighbours in the grid follow each other: the last answer is a good bound
            d, v, w = _to_triangle(px, py, pz, corners[last])
            if d < best:
                best, found, bv, bw = d, last, v, w
        stack[0], stack_d[0] = 0, _to_box(px, py, pz, box[0])
        depth = 1
        while depth > 0:
            depth -= 1
            if stack_d[depth] >= best:
                continue
            node = stack[depth]
            if span[node, 2] == 0:
                for i in range(span[node, 0], span[node, 1]):
                    d, v, w = _to_triangle(px, py, pz, corners[i])
                    if d < best:
                        best, found, bv, bw = d, i, v, w
                continue
            near, far = span[node, 2], span[node, 3]
            d_near, d_far = _to_box(px, py, pz, box[near]), _to_box(px, py, pz, box[far])
            if d_far < d_near:
                near, far, d_near, d_far = far, near, d_far, d_near
            stack[depth], stack_d[depth] = far, d_far
            stack[depth + 1], stack_d[depth + 1] = near, d_near
            depth += 2
        last = found
        if found >= 0:
            distance[p], which[p] = math.sqrt(best), found
            weights[p, 0], weights[p, 1] = bv, bw
    return distance, which, weights


@nb.njit(cache=True, fastmath=True)
def _solid_angle(px, py, pz, t):  # type: ignore[no-untyped-def]
    ax, ay, az = t[0, 0] - px, t[0, 1] - py, t[0, 2] - pz
    bx, by, bz = t[1, 0] - px, t[1, 1] - py, t[1, 2] - pz
    cx, cy, cz = t[2, 0] - px, t[2, 1] - py, t[2, 2] - pz
    a = math.sqrt(ax * ax + ay * ay + az * az)
    b = math.sqrt(bx * bx + by * by + bz * bz)
    c = math.sqrt(cx * cx + cy * cy + cz * cz)
    det = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    ab, bc = ax * bx + ay * by + az * bz, bx * cx + by * cy + bz * cz
    ca = cx * ax + cy * ay + cz * az
    return 2.0 * math.atan2(det, a * b * c + ab * c + bc * a + ca * b)


@nb.njit(cache=True, fastmath=True)
def winding(points, corners, span, pole):  # type: ignore[no-untyped-def]
    """The generalised winding number at each point (P, 3): 1 inside a closed outward mesh, 0 outside."""
    out = np.zeros(len(points))
    stack = np.empty(128, np.int64)
    for p in range(len(points)):
        px, py, pz = points[p, 0], points[p, 1], points[p, 2]
        angle = 0.0
        stack[0] = 0
        depth = 1
        while depth > 0:
            depth -= 1
            node = stack[depth]
            rx, ry, rz = pole[node, 0] - px, pole[node, 1] - py, pole[node, 2] - pz
            r2 = rx * rx + ry * ry + rz * rz
            reach = FAR * pole[node, 6]
            if r2 > reach * reach:
                angle += (rx * pole[node, 3] + ry * pole[node, 4] + rz * pole[node, 5]) / (r2 * math.sqrt(r2))
            elif span[node, 2] == 0:
                for i in range(span[node, 0], span[node, 1]):
                    angle += _solid_angle(px, py, pz, corners[i])
            else:
                stack[depth], stack[depth + 1] = span[node, 2], span[node, 3]
                depth += 2
        out[p] = angle / (4.0 * math.pi)
    return out
