"""Which point of the wrapped template is each point of a free surface, and what moves with it.

Nearest points alone would put the lower lip on the upper one where they touch, and the back of an ear
on its front. So the distance counts normals too: |p - q|^2 + s^2 |n - m|^2. Where a vertex still
disagrees with its neighbours about what moves it (one lip or the other, lid or eye), it takes that
one of its candidates which agrees. Where the surface leaves the template (hair, a hat), no point
is near; there the displacement to the template is continued smoothly from where one is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from ..rig.smooth import factor, neighbours, operators
from ..template import HeadTemplate
from .closest import Surface, Target, unit, vertex_normals
from .sdf import Solid

Array = NDArray[np.float64]

NORMAL_M = 0.008  # `s`: how many metres a unit of difference between normals counts for
CANDIDATES = 16
NEAR_M, FAR_M = 0.004, 0.02  # full trust up to the first, none beyond the second
AGREEMENT = (0.2, 0.6)  # the same for the normals' cosine
REACH_M = 0.02  # where nothing is trusted, displacements are smoothed over about this distance
LEAST = 0.01  # trust that is left there
VOTES = 4  # rounds of agreeing with the neighbours
VOTE = 0.5  # metres that a metre of disagreement counts for
WITNESSES = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")  # units that tell the sides of a slit apart
CALM = 1.0  # an edge that a key changes by more than its length is a jump
CALM_ROUNDS = 3

# Samples of a triangle that stand for it in the search: corners (drawn in), edge middles, centre.
_SAMPLES = (
    np.array([[8, 1, 1], [1, 8, 1], [1, 1, 8], [5, 5, 0], [0, 5, 5], [5, 0, 5], [10 / 3, 10 / 3, 10 / 3]])
    / 10.0
)


@dataclass(frozen=True, eq=False)
class Correspondence:
    """For N surface vertices.

    Attributes:
        triangle: (N,) int64, the template's triangle (an index of `template.triangles`).
        weights: (N, 3), the point's place in it; sums to 1.
        points: (N, 3) metres, that point on the wrapped template.
        trust: (N,) in [0, 1], 1 where a point near by with a like normal was found.
    """

    triangle: NDArray[np.int64]
    weights: Array
    points: Array
    trust: Array

    def carry(self, values: NDArray[np.floating], triangles: NDArray[np.integer]) -> Array:
        """(V, C) of the template's vertices -> (N, C)."""
        return np.einsum("nk,nkc->nc", self.weights, np.asarray(values, np.float64)[triangles[self.triangle]])


def correspond(
    surface: Surface, target: Outside, offsets: Mapping[str, NDArray[np.floating]]
) -> Correspondence:
    """Every surface vertex's point on the wrapped template's outside.

    Args:
        surface: (N, 3) metres and (T, 3), facing outward.
        target: The template wrapped onto the surface.
        offsets: Its shape keys, name -> (V, 3); `WITNESSES` among them settle doubtful vertices.

    Raises:
        InputError: the surface is empty or not finite.
    """
    vertices, triangles = np.asarray(surface[0], np.float64), np.asarray(surface[1], np.int64)
    Target((vertices, triangles))  # refuses what cannot be used
    normals = vertex_normals(vertices, triangles)
    found = target.candidates(vertices, normals)
    witness = [np.asarray(offsets[name], np.float64) for name in WITNESSES if name in offsets]
    pick = found.cost.argmin(axis=1)
    if witness:
        pick = _vote(found, pick, np.concatenate(witness, axis=1), target, triangles)
    row = np.arange(len(vertices))
    triangle, weights, points = found.triangle[row, pick], found.weights[row, pick], found.points[row, pick]
    cosine = (normals * found.normals[row, pick]).sum(axis=1)
    distance = np.linalg.norm(points - vertices, axis=1)
    trust = _fade(distance, FAR_M, NEAR_M) * _fade(cosine, *AGREEMENT)
    # Doubtful vertices go where their neighbours' displacement leads them.
    away = _continue(points - vertices, trust, vertices, triangles)
    doubtful = np.flatnonzero(trust < 1)
    if len(doubtful):
        share = trust[doubtful, None]
        aim = vertices[doubtful] + share * (points - vertices)[doubtful] + (1 - share) * away[doubtful]
        which, place, where = target.project(aim)
        triangle[doubtful], weights[doubtful], points[doubtful] = which, place, where
    return Correspondence(triangle, weights, points, trust)


@dataclass(frozen=True, eq=False)
class Candidates:
    """For each of P points C candidates: triangle and cost (P, C); weights, points, normals (P, C, 3)."""

    triangle: NDArray[np.int64]
    weights: Array
    points: Array
    normals: Array
    cost: Array


class Outside:
    """The triangles of a wrapped template that can be seen from outside, prepared for look-ups.

    Args:
        template: The topology.
        neutral: (V, 3) metres.

    Raises:
        InputError: a vertex is not finite.
    """

    def __init__(self, template: HeadTemplate, neutral: NDArray[np.floating]) -> None:
        self.template, self.vertices = template, np.asarray(neutral, np.float64)
        vertices, every = self.vertices, np.asarray(template.triangles, np.int64)
        outer = Solid(vertices, every).triangles
        code = np.array([len(vertices) ** 2, len(vertices), 1])
        self.index = np.flatnonzero(np.isin(every @ code, outer @ code))
        self.triangles = every
        self.corners = vertices[every]
        # Normals of everything, so that they run smoothly around the rims of what is seen.
        self.normals = vertex_normals(vertices, every)[every]
        self.target = Target((vertices, every[self.index]))
        where = np.einsum("sk,tkc->tsc", _SAMPLES, self.corners[self.index])
        facing = unit(np.einsum("sk,tkc->tsc", _SAMPLES, self.normals[self.index]))
        self.tree = cKDTree(np.concatenate([where, NORMAL_M * facing], axis=2).reshape(-1, 6))

    def candidates(self, points: Array, normals: Array) -> Candidates:
        """The `CANDIDATES` best samples' triangles for points and unit normals (P, 3)."""
        _, sample = self.tree.query(np.concatenate([points, NORMAL_M * normals], axis=1), k=CANDIDATES)
        triangle = self.index[np.minimum(sample, self.tree.n - 1) // len(_SAMPLES)]
        flat = triangle.ravel()
        weights = nearest_weights(np.repeat(points, CANDIDATES, axis=0), self.corners[flat])
        where = np.einsum("pk,pkc->pc", weights, self.corners[flat]).reshape(*triangle.shape, 3)
        facing = unit(np.einsum("pk,pkc->pc", weights, self.normals[flat])).reshape(where.shape)
        cost = ((where - points[:, None]) ** 2).sum(axis=2)
        cost += NORMAL_M**2 * ((facing - normals[:, None]) ** 2).sum(axis=2)
        return Candidates(triangle, weights.reshape(where.shape), where, facing, np.sqrt(cost))

    def project(self, points: Array) -> tuple[NDArray[np.int64], Array, Array]:
        """Triangles (P,), weights (P, 3) and places (P, 3) nearest to points (P, 3)."""
        near = self.target.closest(points, np.inf)
        return self.index[near.triangle], near.weights, near.points


def nearest_weights(points: Array, corners: Array) -> Array:
    """(P, 3) barycentric weights of each triangle's (P, 3, 3) point nearest to its query (P, 3)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    u, v, w = b - a, c - a, points - a
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    uw, vw = (u * w).sum(1), (v * w).sum(1)
    area = np.maximum(uu * vv - uv * uv, 1e-30)
    s, t = (vv * uw - uv * vw) / area, (uu * vw - uv * uw) / area
    best = np.stack([1 - s - t, s, t], axis=1)
    outside = best.min(axis=1) < 0
    # Otherwise it lies on an edge: the nearest of the three.
    distance = np.where(outside, np.inf, 0.0)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, j] - corners[:, i]
        along = ((points - corners[:, i]) * edge).sum(1) / np.maximum((edge * edge).sum(1), 1e-30)
        along = np.clip(along, 0.0, 1.0)
        gap = ((points - corners[:, i] - along[:, None] * edge) ** 2).sum(1)
        nearer = gap < distance
        row = np.zeros_like(best)
        row[:, i], row[:, j] = 1 - along, along
        best = np.where(nearer[:, None], row, best)
        distance = np.where(nearer, gap, distance)
    return best


class Calm:
    """Spreads jumps of offsets between neighbours over a few rings of a mesh.

    Args:
        vertices: (N, 3) metres; triangles: (T, 3).
        still: (N,) bool, vertices that keep their offsets (eyes, which turn rigidly).
    """

    def __init__(self, surface: Surface, still: NDArray[np.bool_]) -> None:
        vertices = np.asarray(surface[0], np.float64)
        self.start, self.end = edges(surface[1]).T
        gap = np.linalg.norm(vertices[self.start] - vertices[self.end], axis=1)
        self.length = np.maximum(gap, np.median(gap) / 4)  # slivers' short edges say nothing
        self.mean = neighbour_mean(surface[1], len(vertices))
        self.still = still

    def __call__(self, offsets: Array) -> Array:
        """(N, 3) offsets. Only ends of edges that change by more than `CALM` of their length move."""
        out = offsets.copy()
        for _ in range(CALM_ROUNDS):
            jump = np.linalg.norm(out[self.start] - out[self.end], axis=1) / self.length
            high = np.flatnonzero(jump > CALM)
            if not len(high):
                break
            worst = np.zeros(len(out))
            np.maximum.at(worst, self.start[high], jump[high])
            np.maximum.at(worst, self.end[high], jump[high])
            move = np.flatnonzero((worst > 0) & ~self.still)
            share = 0.5 * np.clip((worst[move, None] - CALM) / CALM, 0.0, 1.0)
            out[move] += share * (self.mean[move] @ out - out[move])
        return out


def edges(triangles: NDArray[np.integer]) -> NDArray[np.int64]:
    """(E, 2) each edge once, the lower index first."""
    both = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    return np.unique(np.sort(both, axis=1), axis=0).astype(np.int64)


def neighbour_mean(triangles: NDArray[np.integer], count: int) -> sparse.csr_matrix:
    """(N, N): the mean over a vertex's neighbours."""
    graph = neighbours(triangles, count)
    return sparse.diags(1.0 / np.maximum(np.asarray(graph.sum(axis=1)).ravel(), 1)) @ graph


def _vote(
    found: Candidates,
    pick: NDArray[np.int64],
    witness: Array,
    target: Outside,
    triangles: NDArray[np.int64],
) -> NDArray[np.int64]:
    """(N,) candidates that lie well and move like their neighbours' (iterated conditional modes)."""
    corner = target.triangles[found.triangle]
    moves = np.einsum("pck,pckd->pcd", found.weights, witness[corner])
    i, j = edges(triangles).T
    order = np.argsort(np.concatenate([i, j]), kind="stable")
    around = np.concatenate([j, i])[order]
    count = np.bincount(np.concatenate([i, j]), minlength=len(pick))
    owner = np.repeat(np.arange(len(pick)), count)
    divided = np.ptp(moves, axis=1).max(axis=1) > 1e-3  # others have nothing to choose
    use = divided[owner]
    owner, around = owner[use], around[use]
    row = np.arange(len(pick))
    for _ in range(VOTES):
        chosen = moves[row, pick]
        apart = np.zeros(found.cost.shape)
        gap = np.linalg.norm(moves[owner] - chosen[around][:, None], axis=2)
        np.add.at(apart, owner, gap)
        total = found.cost + VOTE * apart / np.maximum(count, 1)[:, None]
        new = np.where(divided, total.argmin(axis=1), pick)
        if np.array_equal(new, pick):
            break
        pick = new
    return pick


def _continue(away: Array, trust: Array, vertices: Array, triangles: NDArray[np.int64]) -> Array:
    """(N, 3) displacements that keep to `away` where trusted and run smoothly elsewhere."""
    operator = operators(vertices, triangles)
    hold = operator.mass * np.maximum(trust, LEAST)
    system = sparse.diags(hold) + LEAST * REACH_M**2 * operator.stiffness
    return factor(system).solve(hold[:, None] * away)


def _fade(values: Array, none: float, full: float) -> Array:
    """0 at `none`, 1 at `full`, straight between."""
    return np.clip((values - none) / (full - none), 0.0, 1.0)
