"""Unfold a quad surface with one cut into the plane, with little distortion and no fold.

Tutte's embedding gives a start without folds; the symmetric Dirichlet energy (Smith and Schaefer
2015, "Bijective parameterization with free boundaries") is then minimised by L-BFGS with a Laplacian
as its first metric, with steps that stop before a triangle would flip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CutMesh:
    """A mesh cut open along some edges.

    Attributes:
        faces: (F, 4) int, indices of cut vertices.
        source: (C,) int, the uncut vertex behind each cut vertex.
    """

    faces: NDArray[np.int64]
    source: NDArray[np.int64]


def cut(faces: NDArray[np.integer], seam: NDArray[np.bool_]) -> CutMesh:
    """Split vertices along the edges of which both ends are in `seam`, a (V,) mask."""
    count = len(faces)
    corner = np.arange(count * 4).reshape(count, 4)
    a, b = faces, np.roll(faces, -1, axis=1)
    key = np.sort(np.stack([a, b], -1).reshape(-1, 2), axis=1)
    order = np.lexsort((key[:, 1], key[:, 0]))
    same = (key[order][1:] == key[order][:-1]).all(axis=1)
    first, second = order[:-1][same], order[1:][same]
    glued = ~seam[key[first]].all(axis=1)
    first, second = first[glued], second[glued]
    following = np.roll(corner, -1, axis=1).ravel()
    # The two faces run along a shared edge in opposite directions.
    pairs = np.concatenate([np.stack([first, following[second]], 1), np.stack([following[first], second], 1)])
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count * 4,) * 2)
    label = connected_components(graph, directed=False)[1]
    source = np.zeros(label.max() + 1, np.int64)
    source[label] = faces.ravel()
    return CutMesh(label.reshape(count, 4).astype(np.int64), source)


def unfold(mesh: CutMesh, vertices: Array, magnify: Array, *, steps: int = 400) -> Array:
    """(C, 2) plane positions of the cut vertices, every triangle counter-clockwise.

    Args:
        mesh: A disc (holes in it are allowed), e.g. from `cut`.
        vertices: (V, 3) positions.
        magnify: (V,) wanted length magnification relative to the surface.
        steps: L-BFGS steps.
    """
    faces, points = mesh.faces, vertices[mesh.source].astype(np.float64)
    triangles = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
    scale = magnify[mesh.source][triangles].mean(axis=1)
    rest, area = _rest_shapes(points[triangles], scale)
    loops = border_loops(faces)
    lids, lid_rest, lid_area = _lids(loops[1:], points, magnify[mesh.source])
    plane = _tutte(faces, points, loops)
    drawn = _double_area(plane[triangles]).sum() / 2
    plane *= np.sqrt(area.sum() / abs(drawn))
    if drawn < 0:
        plane[:, 0] *= -1
    energy = _SymmetricDirichlet(
        np.concatenate([triangles, lids]),
        np.concatenate([rest, lid_rest]),
        np.concatenate([area, LID_WEIGHT * lid_area]),
    )
    return _minimise(energy, plane, steps)[: len(points)]


LID_WEIGHT = 0.3
LID_RADIUS_M = 0.006


def _lids(
    loops: list[NDArray[np.int64]], points: Array, magnify: Array
) -> tuple[NDArray[np.int64], Array, Array]:
    """A fan of triangles in every hole, so that its rim (lips, eyelids) cannot fold over itself."""
    triangles, rests = [], []
    for hub, loop in enumerate(loops, start=len(points)):
        following = np.roll(loop, -1)
        triangles.append(np.stack([following, loop, np.full(len(loop), hub)], axis=1))
        rest = np.zeros((len(loop), 2, 2))
        rest[:, 0, 0] = np.linalg.norm(points[following] - points[loop], axis=1)
        rest[:, 0, 1], rest[:, 1, 1] = rest[:, 0, 0] / 2, LID_RADIUS_M
        rests.append(rest * magnify[loop][:, None, None])
    if not loops:
        return np.zeros((0, 3), np.int64), np.zeros((0, 2, 2)), np.zeros(0)
    rest = np.concatenate(rests)
    return np.concatenate(triangles), rest, rest[:, 0, 0] * rest[:, 1, 1] / 2


class _SymmetricDirichlet:
    def __init__(self, triangles: NDArray[np.int64], rest: Array, area: Array) -> None:
        self.triangles, self.area = triangles, area / area.sum()
        self.inverse = np.linalg.inv(rest)

    def value(self, plane: Array) -> tuple[float, Array]:
        """Energy and its gradient; infinite if a triangle is folded."""
        corner = plane[self.triangles]
        edges = np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], axis=2)
        jacobian = edges @ self.inverse
        determinant = np.linalg.det(jacobian)
        if determinant.min() <= 0:
            return np.inf, np.zeros_like(plane)
        square = (jacobian**2).sum(axis=(1, 2))
        cofactor = np.empty_like(jacobian)
        cofactor[:, 0, 0], cofactor[:, 0, 1] = jacobian[:, 1, 1], -jacobian[:, 1, 0]
        cofactor[:, 1, 0], cofactor[:, 1, 1] = -jacobian[:, 0, 1], jacobian[:, 0, 0]
        slope = 2 * jacobian * (1 + determinant**-2)[:, None, None]
        slope -= (2 * square * determinant**-3)[:, None, None] * cofactor
        pull = (slope * self.area[:, None, None]) @ self.inverse.transpose(0, 2, 1)
        gradient = np.zeros_like(plane)
        np.add.at(gradient, self.triangles[:, 1], pull[:, :, 0])
        np.add.at(gradient, self.triangles[:, 2], pull[:, :, 1])
        np.add.at(gradient, self.triangles[:, 0], -pull.sum(axis=2))
        return float((self.area * square * (1 + determinant**-2)).sum()), gradient

    def largest_step(self, plane: Array, direction: Array) -> float:
        """The step at which the first triangle would lose its area."""
        corner, move = plane[self.triangles], direction[self.triangles]
        a, b = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
        u, v = move[:, 1] - move[:, 0], move[:, 2] - move[:, 0]
        two, one, zero = _cross(u, v), _cross(a, v) + _cross(u, b), _cross(a, b)
        root = np.sqrt(np.maximum(one**2 - 4 * two * zero, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            # A form of the quadratic formula that stays finite when `two` vanishes.
            roots = np.stack([2 * zero / (-one + root), 2 * zero / (-one - root)])
        roots[~np.isfinite(roots) | (roots <= 0) | (one**2 < 4 * two * zero)] = np.inf
        return float(roots.min())

    def metric(self, size: int) -> sparse.csc_matrix:
        """The Hessian of the Dirichlet half of the energy, positive definite."""
        slopes = np.concatenate([-self.inverse.sum(axis=1, keepdims=True), self.inverse], axis=1)
        local = 2 * self.area[:, None, None] * slopes @ slopes.transpose(0, 2, 1)
        i = np.repeat(self.triangles, 3, axis=1).ravel()
        j = np.tile(self.triangles, (1, 3)).ravel()
        hessian = sparse.coo_matrix((local.ravel(), (i, j)), shape=(size, size)).tocsc()
        return hessian + 1e-8 * hessian.diagonal().mean() * sparse.identity(size, format="csc")


def _minimise(energy: _SymmetricDirichlet, plane: Array, steps: int) -> Array:
    solve = splu(energy.metric(len(plane))).solve
    memory: list[tuple[Array, Array]] = []
    value, gradient = energy.value(plane)
    for _ in range(steps):
        direction = -_two_loop(gradient, memory, solve)
        slope = float((gradient * direction).sum())
        if slope >= 0:
            memory.clear()
            direction = -solve(gradient)
            slope = float((gradient * direction).sum())
        step = min(1.0, 0.8 * energy.largest_step(plane, direction))
        while step > 1e-12:
            trial = plane + step * direction
            new_value, new_gradient = energy.value(trial)
            if new_value <= value + 1e-4 * step * slope:
                break
            step /= 2
        else:
            if not memory:
                break
            memory.clear()
            continue
        memory = [*memory[-9:], (trial - plane, new_gradient - gradient)]
        done = value - new_value < 1e-7 * value
        plane, value, gradient = trial, new_value, new_gradient
        if done:
            break
    return plane


def _two_loop(gradient: Array, memory: list[tuple[Array, Array]], solve) -> Array:  # type: ignore[no-untyped-def]
    q, stack = gradient.copy(), []
    for s, y in reversed(memory):
        rho = 1.0 / (s * y).sum()
        alpha = rho * (s * q).sum()
        q -= alpha * y
        stack.append((rho, alpha))
    r = solve(q)
    if memory:
        s, y = memory[-1]
        r *= (s * y).sum() / (y * solve(y)).sum()
    for (s, y), (rho, alpha) in zip(memory, reversed(stack), strict=True):
        r += s * (alpha - rho * (y * r).sum())
    return r


def _rest_shapes(corners: Array, scale: Array) -> tuple[Array, Array]:
    """(T, 3, 3) corners -> (T, 2, 2) plane edge matrices of the magnified triangles and their areas."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    length = np.maximum(np.linalg.norm(a, axis=1), 1e-6)
    along = (a * b).sum(axis=1) / length
    height = np.maximum(np.linalg.norm(np.cross(a, b), axis=1) / length, 0.05 * length)
    rest = np.zeros((len(corners), 2, 2))
    rest[:, 0, 0], rest[:, 0, 1], rest[:, 1, 1] = length, along, height
    rest *= scale[:, None, None]
    return rest, rest[:, 0, 0] * rest[:, 1, 1] / 2


def _tutte(faces: NDArray[np.int64], points: Array, loops: list[NDArray[np.int64]]) -> Array:
    """Tutte's embedding with the longest border on a circle; other borders are closed by a hub each."""
    outer = loops[0]
    size = len(points) + len(loops) - 1
    i, j = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    # Diagonals too, so that both triangles of a quad are convex combinations.
    i = np.concatenate([i, faces[:, 0]])
    j = np.concatenate([j, faces[:, 2]])
    for hub, loop in enumerate(loops[1:], start=len(points)):
        i = np.concatenate([i, loop])
        j = np.concatenate([j, np.full(len(loop), hub)])
    w = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(size, size)).tocsr()
    w = ((w + w.T) > 0).astype(float)
    laplacian = (sparse.diags(np.asarray(w.sum(axis=1)).ravel()) - w).tocsr()
    length = np.linalg.norm(points[outer] - points[np.roll(outer, -1)], axis=1)
    angle = 2 * np.pi * np.concatenate([[0], np.cumsum(length)[:-1]]) / length.sum()
    plane = np.zeros((size, 2))
    plane[outer] = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    free = np.setdiff1d(np.arange(size), outer)
    right = -laplacian[free][:, outer] @ plane[outer]
    plane[free] = splu(laplacian[free][:, free].tocsc()).solve(right)
    return plane


def border_loops(faces: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    """Closed borders, longest first, each as the vertices in order."""
    a, b = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    inside = set(zip(b.tolist(), a.tolist(), strict=True))
    following = {p: q for p, q in zip(a.tolist(), b.tolist(), strict=True) if (p, q) not in inside}
    loops = []
    while following:
        start, here = next(iter(following.items()))
        loop = [start]
        del following[start]
        while here != start:
            loop.append(here)
            here = following.pop(here)
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


def _double_area(corners: Array) -> Array:
    return _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _cross(a: Array, b: Array) -> Array:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
