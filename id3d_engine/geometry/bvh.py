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
FAR = 2.2  # a node is far when its centre is this many radii away


@dataclass(frozen=True, eq=False)
class Tree:
    """Flat arrays over nodes (preorder) and triangles (in leaf order).

    Attributes:
        corners: (T, 3, 3) float64, sorted by leaf.
        order: (T,) int64, the triangle's index in the mesh.
        box: (N, 6) float64, low then high.
        span: (N, 3) int64: first triangle, end, right child (0 marks a leaf; the left one follows).
        pole: (N, 7) float64: centre, summed area vector, radius.
    """

    corners: NDArray[np.float64]
    order: NDArray[np.int64]
    box: NDArray[np.float64]
    span: NDArray[np.int64]
    pole: NDArray[np.float64]


def build_tree(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> Tree:
    """Median splits along the longest axis; triangles without area are left out."""
    corners = np.ascontiguousarray(vertices[triangles], np.float64)
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    order = np.flatnonzero((area * area).sum(axis=1) > 1e-24)
    box, span, order = _build(corners[order], order)
    corners = corners[order]
    return Tree(corners, order, box, span, _poles(corners, span))


@nb.njit(cache=True)
def _build(corners, order):  # type: ignore[no-untyped-def]
    count = len(corners)
    centre = (corners[:, 0] + corners[:, 1] + corners[:, 2]) / 3.0
    rank = np.arange(count)
    box = np.empty((2 * count + 1, 6))
    span = np.zeros((2 * count + 1, 3), np.int64)
    stack = np.empty((128, 3), np.int64)
    stack[0] = (0, count, -1)
    depth, nodes = 1, 0
    while depth > 0:
        depth -= 1
        first, end, parent = stack[depth]
        node = nodes
        nodes += 1
        if parent >= 0:
            span[parent, 2] = node
        span[node, 0], span[node, 1] = first, end
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        c_low, c_high = np.full(3, np.inf), np.full(3, -np.inf)
        for i in range(first, end):
            for k in range(3):
                c = centre[rank[i], k]
                c_low[k], c_high[k] = min(c_low[k], c), max(c_high[k], c)
                for j in range(3):
                    x = corners[rank[i], j, k]
                    low[k], high[k] = min(low[k], x), max(high[k], x)
        box[node, :3], box[node, 3:] = low, high
        if end - first > LEAF:
            axis = int(np.argmax(c_high - c_low))
            part = rank[first:end].copy()
            rank[first:end] = part[np.argsort(centre[part, axis], kind="mergesort")]
            middle = (first + end) // 2
            stack[depth] = (middle, end, node)  # the right child names its parent ...
            stack[depth + 1] = (first, middle, -1)  # ... the left one comes next
            depth += 2
    return box[:nodes].copy(), span[:nodes].copy(), order[rank]


@nb.njit(cache=True)
def _poles(corners, span):  # type: ignore[no-untyped-def]
    pole = np.zeros((len(span), 7))
    for node in range(len(span)):
        total = 0.0
        for i in range(span[node, 0], span[node, 1]):
            a, b, c = corners[i]
            area = 0.5 * np.cross(b - a, c - a)
            size = math.sqrt((area * area).sum())
            pole[node, :3] += size * (a + b + c) / 3.0
            pole[node, 3:6] += area
            total += size
        pole[node, :3] /= total
        far = 0.0
        for i in range(span[node, 0], span[node, 1]):
            for j in range(3):
                r = corners[i, j] - pole[node, :3]
                far = max(far, (r * r).sum())
        pole[node, 6] = math.sqrt(far)
    return pole


@nb.njit(cache=True, fastmath=True, inline="always")
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


@nb.njit(cache=True, fastmath=True, inline="always")
def _to_triangle(px, py, pz, t):  # type: ignore[no-untyped-def]
    """Squared distance to the nearest point, and that point's weights of b and c."""
    v, w = _on_triangle(px, py, pz, t)
    u = 1.0 - v - w
    dx = px - (u * t[0, 0] + v * t[1, 0] + w * t[2, 0])
    dy = py - (u * t[0, 1] + v * t[1, 1] + w * t[2, 1])
    dz = pz - (u * t[0, 2] + v * t[1, 2] + w * t[2, 2])
    return dx * dx + dy * dy + dz * dz, v, w


@nb.njit(cache=True, fastmath=True, inline="always")
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
            right = span[node, 2]
            if right == 0:
                for i in range(span[node, 0], span[node, 1]):
                    d, v, w = _to_triangle(px, py, pz, corners[i])
                    if d < best:
                        best, found, bv, bw = d, i, v, w
                continue
            near, far = node + 1, right
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


@nb.njit(cache=True, fastmath=True, inline="always")
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
                stack[depth], stack[depth + 1] = node + 1, span[node, 2]
                depth += 2
        out[p] = angle / (4.0 * math.pi)
    return out
