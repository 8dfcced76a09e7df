"""A face at rest. MakeHuman's neutral stares, its lips stand apart, and its teeth are too far back.

One sees white below its iris and teeth between its lips; people who rest have the lower lid at the iris's
edge, their lips closed, and teeth right behind them, so that a smile shows them. All is put right once, in
the template, for every head that its shape components can make. A blink and a squint arrive where they did:
what the lower lid is raised by at rest is taken out of their offsets.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from ..rig.follow import pieces
from ..rig.lids import gaps, raised_lower_lid, rim_halves
from ..rig.smooth import extended, fading
from ..template import HeadTemplate
from .closest import vertex_normals

Array = NDArray[np.float64]
OPENING = 0.335  # the open eye's height over its width
OVERLAP_M = 6e-4  # of the lips' inner sides, so that no light passes between their outer ones
LIP_REACH_M = 0.006  # how far into the lips closing them is felt
FACING = 0.3  # of a normal's height: such a vertex of a lip faces the other lip
LOWER_LIP_M = 0.010  # opening the jaw lowers the lower lip's vertices by more than that
# Of the incisors: the upper ones' edges hang below where the lips meet, and the lower ones stand a little
# behind and above those edges (overjet and overbite of some 2 mm).
SHOWN_M, BEHIND_LIPS_M, OVERJET_M, OVERBITE_M = 0.0022, 0.005, 0.0022, 0.0018
INCISORS_M = 0.004  # their faces reach this far to the sides of the middle, and this far back
ALIKE_M = 0.002  # lips are as far apart as they are about there, on average


def at_rest(template: HeadTemplate) -> HeadTemplate:
    """The template with lids, lips and teeth at rest, its blinks and squints shortened by that."""
    vertices, basis = _closed_lips(template)
    vertices = teeth_at_rest(replace(template, vertices=vertices.astype(np.float32))).astype(np.float64)
    units = {name: unit.astype(np.float64) for name, unit in template.arkit.items()}
    raised = {side: _raised(template, side) for side in ("left", "right")}
    for side, by in raised.items():
        for unit in ("eyeBlink", "eyeSquint"):
            units[unit + side.capitalize()] -= by
    return replace(
        template,
        vertices=(vertices + sum(raised.values())).astype(np.float32),
        basis=basis.astype(np.float32),
        arkit={name: unit.astype(np.float32) for name, unit in units.items()},
    )


def teeth_at_rest(template: HeadTemplate) -> NDArray[np.float32]:
    """(V, 3) vertices with the teeth where people have them behind lips that touch; each row moves as one."""
    vertices = template.vertices.copy()
    over, under, _ = _pairs(vertices.astype(np.float64), *_facing(template))
    inner = np.unique(np.concatenate([over, under.ravel()]))
    inner = vertices[inner[np.abs(vertices[inner, 0]) < LIP_REACH_M]]
    meeting, wall = float(np.median(inner[:, 2])), float(inner[:, 1].max())
    teeth = [piece for piece in pieces(template) if template.regions["teeth"][piece].mean() > 0.5]
    lower, upper = sorted(teeth, key=lambda piece: float(vertices[piece, 2].mean()))
    edge, front = meeting - SHOWN_M, wall + BEHIND_LIPS_M
    for row, outer, height, depth in (
        (upper, np.min, edge, front),
        (lower, np.max, edge + OVERBITE_M, front + OVERJET_M),
    ):
        incisors = vertices[row[np.abs(vertices[row, 0]) < INCISORS_M]]
        incisors = incisors[incisors[:, 1] < incisors[:, 1].min() + INCISORS_M]
        vertices[row, 1] += np.float32(depth - incisors[:, 1].min())
        vertices[row, 2] += np.float32(height - outer(incisors[:, 2]))
    return vertices


def _raised(template: HeadTemplate, side: str) -> Array:
    """(V, 3) offsets of one side's lower lid."""
    upper, lower = rim_halves(template, side)
    rest = template.vertices.astype(np.float64)
    width = float(np.ptp(rest[np.concatenate([upper, lower]), 0]))
    opened = float(gaps(rest, upper, lower).max())
    return raised_lower_lid(template, rest, side, max(1 - OPENING * width / opened, 0.0))


def _closed_lips(template: HeadTemplate) -> tuple[Array, Array]:
    """(V, 3) and (M, V, 3): vertices whose lips touch, and shape components that leave them touching."""
    shapes = np.concatenate([template.vertices[None], template.basis]).astype(np.float64)
    upper, lower = _facing(template)
    over, under, weights = _pairs(shapes[0], upper, lower)
    apart = np.stack([shape[over, 2] - (weights * shape[under, 2]).sum(1) for shape in shapes], axis=1)
    apart[:, 0] += OVERLAP_M
    fixed = np.concatenate([upper, lower])
    near = np.exp(-(((shapes[0][fixed, 0][:, None] - shapes[0][over, 0][None]) / ALIKE_M) ** 2) / 2)
    half = np.concatenate([np.full(len(upper), -0.5), np.full(len(lower), 0.5)])
    wanted = half[:, None] * (near / near.sum(axis=1, keepdims=True)) @ apart
    free = np.ones(len(template.vertices), bool)
    free[fixed] = False
    energy = fading(template.vertices, template.triangles, LIP_REACH_M)
    shapes[:, :, 2] += extended(energy, fixed, wanted, free).T
    return shapes[0], shapes[1:]


def _facing(template: HeadTemplate) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertices of the upper lip that face the lower one, and the other way round."""
    up = vertex_normals(template.vertices, template.triangles)[:, 2]
    lips = (template.regions["lips"] > 0.5) & (template.regions["mouth_inside"] < 0.5)
    lowered = template.arkit["jawOpen"][:, 2] < -LOWER_LIP_M
    return np.flatnonzero(lips & ~lowered & (up < -FACING)), np.flatnonzero(lips & lowered & (up > FACING))


def _pairs(
    rest: Array, upper: NDArray[np.int64], lower: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Upper vertices (P,) that have the lower lip below them, and three vertices of that with weights."""
    sheet = Delaunay(rest[lower, :2])
    simplex = sheet.find_simplex(rest[upper, :2])
    upper, simplex = upper[simplex >= 0], simplex[simplex >= 0]
    transform = sheet.transform[simplex]
    two = np.einsum("nij,nj->ni", transform[:, :2], rest[upper, :2] - transform[:, 2])
    return (
        upper,
        lower[sheet.simplices[simplex]],
        np.concatenate([two, 1 - two.sum(1, keepdims=True)], axis=1),
    )
