"""Lids that meet: on a head with larger eyes, the template's blink would stop short."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..template import HeadTemplate
from .follow import lid_rims
from .smooth import extended, fading

Array = NDArray[np.float64]
ENOUGH_M = 2e-5  # lids this close to meeting are left alone
REACH_M = 0.006  # how far into the lid a correction fades
ROUNDS = 4
CLEARANCE_M = 3e-4  # of a closed lid over the cornea
MOVED_M = 5e-4  # a lid vertex that closing moves less is not pushed off the eyeball
BLINKS = {"left": "eyeBlinkLeft", "right": "eyeBlinkRight"}


def close_lids(
    template: HeadTemplate,
    head: Array,
    units: dict[str, Array],
    *,
    touched_m: float,
    overlap_m: float = 0.0,
) -> dict[str, Array]:
    """The units with `eyeBlinkLeft` and `eyeBlinkRight` lengthened where lids would not meet.

    At value 1 the upper lid's rim comes at least as low over the lower one's as on the template, or
    `overlap_m` lower than that. The correction fades smoothly into the lid and keeps its distance from
    the eyeball's centre. Only vertices that the template's unit moves by more than `touched_m` change.
    """
    out = dict(units)
    for side, name in BLINKS.items():
        out[name] = close_side(template, head, out[name], side, touched_m=touched_m, overlap_m=overlap_m)
    return out


def close_side(
    template: HeadTemplate,
    head: Array,
    offsets: Array,
    side: str,
    *,
    touched_m: float,
    overlap_m: float = 0.0,
) -> Array:
    """(V, 3) offsets that close the eye of one side as `close_lids` does, in front of its eyeball."""
    met = _meet(template, head, offsets, side, touched_m, overlap_m)
    return _off_the_eye(template, head, met, side)


def _meet(
    template: HeadTemplate, head: Array, offsets: Array, side: str, touched_m: float, overlap_m: float
) -> Array:
    upper, lower = rim_halves(template, side)
    rest = template.vertices.astype(np.float64)
    unit = np.asarray(template.arkit[BLINKS[side]], np.float64)
    allowed = gaps(rest + unit, upper, lower) - overlap_m
    if (gaps(head + offsets, upper, lower) <= allowed + ENOUGH_M).all():
        return offsets
    stiffness = fading(head, template.triangles, REACH_M)
    moving = (np.linalg.norm(unit, axis=1) > touched_m) & (template.regions["eyeballs"] < 0.5)
    centre = eye_centre(template, head, side)
    for _ in range(ROUNDS):
        short = np.maximum(gaps(head + offsets, upper, lower) - allowed, 0.0)
        offsets = _lower_around(head, offsets, _spread(stiffness, moving, upper, lower, short), centre)
    return offsets


def raised_lower_lid(template: HeadTemplate, head: Array, side: str, share: float) -> Array:
    """(V, 3) offsets that raise a lower lid by a share of what it stands below the upper one.

    They fade into the cheek as `close_lids`' do into the upper lid, and keep the distance from the eyeball.
    """
    upper, lower = rim_halves(template, side)
    across = np.abs(head[upper, 0])
    order = np.argsort(across)
    above = np.interp(np.abs(head[lower, 0]), across[order], head[upper, 2][order])
    stiffness = fading(head, template.triangles, REACH_M)
    moving = (template.regions["eyeballs"] < 0.5) & (head[:, 0] * (1 if side == "left" else -1) > 0)
    by = share * np.maximum(above - head[lower, 2], 0.0)
    # Beyond the upper rim's ends, at the corners themselves, nothing moves.
    by[(np.abs(head[lower, 0]) < across.min()) | (np.abs(head[lower, 0]) > across.max())] = 0.0
    field = _spread(stiffness, moving, lower, upper, by)
    return _lower_around(head, np.zeros_like(head), -field, eye_centre(template, head, side))


def _off_the_eye(template: HeadTemplate, head: Array, offsets: Array, side: str) -> Array:
    """Offsets whose moved lid lies on the eyeball's sphere where it would have cut through it."""
    eye = _eyeball(template, side)
    centre, radius = _ball(head, eye)
    rest = template.vertices.astype(np.float64)
    own_centre, own_radius = _ball(rest, eye)
    lid = (template.regions["eyeballs"] < 0.5) & (template.regions["eye_sockets"] < 0.5)
    moved = np.flatnonzero(lid & (np.linalg.norm(offsets, axis=1) > MOVED_M))
    arms = (head + offsets)[moved] - centre
    length = np.linalg.norm(arms, axis=1)
    # Only the front: behind the eyeball's middle a lid has no business.
    own = (rest + np.asarray(template.arkit[BLINKS[side]], np.float64))[moved] - own_centre
    # No farther out than the template's own closed lid, which passes beside the cornea's top.
    wanted = radius * np.minimum(np.linalg.norm(own, axis=1) / own_radius, 1.0)
    inside = (length < wanted) & (arms[:, 1] < 0)
    # What moves little is pushed little, so that the lid's still edge keeps its place.
    share = np.clip((np.linalg.norm(offsets[moved], axis=1) - MOVED_M) / (4 * MOVED_M), 0.0, 1.0)
    push = np.where(inside, share * (wanted / np.maximum(length, 1e-6) - 1), 0.0)
    out = offsets.copy()
    out[moved] += push[:, None] * arms
    return out


def rim_halves(template: HeadTemplate, side: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Upper and lower vertices of a lid's rim, each from inner to outer corner, corners in the lower."""
    rim = lid_rims(template)[side]
    points = template.vertices[rim]
    order = np.argsort(np.abs(points[:, 0]))
    rim, points = rim[order], points[order]
    inner, outer = points[0], points[-1]
    share = (np.abs(points[:, 0]) - abs(inner[0])) / (abs(outer[0]) - abs(inner[0]))
    height = points[:, 2] - (inner[2] + share * (outer[2] - inner[2]))
    upper = (height > 0.0004) & (share > 0.02) & (share < 0.98)
    return rim[upper], rim[~upper]


def gaps(vertices: Array, upper: NDArray[np.int64], lower: NDArray[np.int64]) -> Array:
    """(U,) metres by which each upper rim vertex stands above the lower rim at the same width."""
    low = vertices[lower]
    across = np.abs(low[:, 0])
    order = np.argsort(across)
    return vertices[upper, 2] - np.interp(np.abs(vertices[upper, 0]), across[order], low[order, 2])


def _spread(
    stiffness: sparse.csr_matrix,
    moving: NDArray[np.bool_],
    led: NDArray[np.int64],
    still: NDArray[np.int64],
    values: Array,
) -> Array:
    """(V,) a smooth field with `values` on the rim that is led, zero on the other and where nothing moves."""
    free = moving.copy()
    free[led] = free[still] = False
    return extended(stiffness, led, values, free)


def _lower_around(head: Array, offsets: Array, drop: Array, centre: Array) -> Array:
    """Offsets lowered by `drop` (V,), no vertex coming closer to the eyeball's centre by it."""
    changed = np.flatnonzero(np.abs(drop) > 1e-7)
    before = (head + offsets)[changed] - centre
    after = before - drop[changed, None] * np.array([0.0, 0.0, 1.0])
    wanted = np.linalg.norm(before, axis=1)
    length = np.linalg.norm(after, axis=1)
    after *= np.maximum(wanted / length, 1.0)[:, None]
    out = offsets.copy()
    out[changed] = after + centre - head[changed]
    return out


def eye_centre(template: HeadTemplate, head: Array, side: str) -> Array:
    """(3,) the middle of one side's eyeball."""
    return head[_eyeball(template, side)].mean(axis=0)


def _ball(head: Array, eye: NDArray[np.bool_]) -> tuple[Array, float]:
    """Centre (3,) of an eyeball and the largest distance of its surface from there, with clearance."""
    centre = head[eye].mean(axis=0)
    return centre, float(np.linalg.norm(head[eye] - centre, axis=1).max()) + CLEARANCE_M


def _eyeball(template: HeadTemplate, side: str) -> NDArray[np.bool_]:
    sign = 1.0 if side == "left" else -1.0
    return (template.regions["eyeballs"] > 0.5) & (template.vertices[:, 0] * sign > 0)
