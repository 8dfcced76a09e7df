"""The template's 52 ARKit units on another head: same meaning, fitted to its features.

The skin's units are carried over by deformation transfer (Sumner and Popovic 2004): every
triangle of the head changes as the template's triangle does, and vertices that a unit does not touch
stay exactly where they are. Eyeballs turn about their own centres; teeth and tongue keep their path,
scaled to the mouth; lids are then made to meet (see `lids`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..template import HeadTemplate
from .follow import pieces
from .lids import close_lids
from .smooth import factor, operators

Array = NDArray[np.float64]
STILL_M = 2e-6  # offsets of a unit below this count as none


def transfer_units(template: HeadTemplate, neutral: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
    """All 52 units for a head of the template's topology.

    Args:
        template: Where the units come from.
        neutral: (V, 3) metres, the head's neutral.

    Returns:
        ARKit name -> (V, 3) float32 offsets at value 1. A vertex that the template's unit leaves still
        has offset 0, so one-sided units stay on their side.

    Raises:
        InputError: `neutral` is not of the template's topology.
    """
    head = template.checked(neutral)
    carry = _Carrier(template, head)
    units = {name: carry.offsets(np.asarray(unit, np.float64)) for name, unit in template.arkit.items()}
    units = close_lids(template, head, units, touched_m=STILL_M)
    return {name: offsets.astype(np.float32) for name, offsets in units.items()}


def pose(units: Mapping[str, NDArray[np.floating]], recipe: Mapping[str, float]) -> NDArray[np.float32]:
    """(V, 3) float32 offsets of a recipe (ARKit unit -> weight) in a head's own units."""
    total = np.zeros_like(next(iter(units.values())), dtype=np.float64)
    for name, weight in recipe.items():
        total += weight * units[name]
    return total.astype(np.float32)


class _Carrier:
    def __init__(self, template: HeadTemplate, head: Array) -> None:
        rest = template.vertices.astype(np.float64)
        self.rest, self.head = rest, head
        skin, *self.loose = pieces(template)
        inside = np.zeros(len(rest), bool)
        inside[skin] = True
        self.skin = inside
        triangles = template.triangles
        proper = (np.diff(np.sort(triangles, axis=1), axis=1) > 0).all(axis=1)
        self.triangles = triangles[inside[triangles[:, 0]] & proper]
        self.frames = np.linalg.inv(_frames(rest[self.triangles]))
        self.stiffness = operators(head, self.triangles).stiffness
        self.eyes = template.regions["eyeballs"] > 0.5
        mouth = (template.regions["mouth_inside"] > 0.5) & inside
        self.scale = _spread(head[mouth]) / _spread(rest[mouth])

    def offsets(self, unit: Array) -> Array:
        out = np.zeros_like(unit)
        moving = np.linalg.norm(unit, axis=1) > STILL_M
        free = np.flatnonzero(moving & self.skin)
        if len(free):
            out[free] = self._skin(unit, free)
        for piece in self.loose:
            if not moving[piece].any():
                continue
            if self.eyes[piece].all():
                out[piece] = turn(self.rest[piece], unit[piece], self.head[piece])
            else:
                out[piece] = self.scale * unit[piece]
        return out

    def _skin(self, unit: Array, free: NDArray[np.int64]) -> Array:
        moved = (self.rest + unit)[self.triangles]
        touched = (np.linalg.norm(unit, axis=1) > STILL_M)[self.triangles].any(axis=1)
        change = _frames(moved[touched]) @ self.frames[touched] - np.eye(3)
        right = np.zeros_like(unit)
        corner = self.head[self.triangles[touched]]
        index = self.triangles[touched]
        for k in range(3):
            # Each edge weighs as in the stiffness matrix, so that a constant change is reproduced.
            a, b, c = (k + 1) % 3, (k + 2) % 3, k
            u, v = corner[:, a] - corner[:, c], corner[:, b] - corner[:, c]
            sine = np.maximum(np.linalg.norm(np.cross(u, v), axis=1), 1e-14)
            weight = np.clip((u * v).sum(axis=1) / sine, 0.05, 5.0) / 2
            pull = weight[:, None] * np.einsum("tij,tj->ti", change, corner[:, a] - corner[:, b])
            np.add.at(right, index[:, a], pull)
            np.add.at(right, index[:, b], -pull)
        system = self.stiffness[free][:, free] + 1e-9 * sparse.identity(len(free))
        return factor(system).solve(right[free])


def turn(rest: Array, unit: Array, eyeball: Array) -> Array:
    """Offsets that turn an eyeball (N, 3) about its centre, by the rotation nearest to a unit (Kabsch 1976).

    `rest` and `unit` (N, 3) are the eyeball that the unit was made for and its offsets.
    """
    before = rest - rest.mean(axis=0)
    after = before + unit - unit.mean(axis=0)
    u, _, vt = np.linalg.svd(before.T @ after)
    rotation = (u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt).T
    own = eyeball - eyeball.mean(axis=0)
    return own @ rotation.T - own


def _frames(corners: Array) -> Array:
    """(T, 3, 3) corners -> (T, 3, 3) columns: two edges and the normal, scaled to keep units of length."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(a, b)
    length = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-14)
    return np.stack([a, b, normal / np.sqrt(length)], axis=2)


def _spread(points: Array) -> float:
    return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))
