"""People's proportions. MakeHuman's mean face has its features where no population has them.

Against the distance of its eyes, its brows stand 7 mm too high, nose and mouth 5 mm too low, the mouth is
a tenth too narrow and the eyes' inner corners are too far apart: on photographs of 45 people (dlib's 68
points and Face Mesh's 468, compared with renders), and against the means of Farkas, "Anthropometry of the
Head and Face" (1994), alike. Every face looked like every other by it: long, staring and pursed.

One smooth field of offsets puts the mean right. It is applied to each sampled head in that head's size,
before the shape components are found, so that components and children know of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d

from ..rig.follow import lid_rims
from ..rig.lids import eye_centre
from ..rig.smooth import extended, operators
from ..template import HeadTemplate

Array = NDArray[np.float64]

# Metres on the mean head.
NOSE_UP, MOUTH_UP, CHIN_UP = 0.0042, 0.0055, 0.0037
BROWS_DOWN = 0.0050
CORNERS_OUT = 0.0025  # of the mouth, each
CORNERS_IN = 0.0025  # the eyes' inner ones, each
CHEEKS_OUT = 0.0020

_SOFT_M = 0.006  # over how much height the lower face's shares are blended
_LID_REACH_M = 0.012


def peoples_proportions(template: HeadTemplate) -> Array:
    """(V, 3) offsets, metres, from MakeHuman's mean head to one with the features where people have them.

    Args:
        template: Its vertices are MakeHuman's mean head; the shape components are not looked at.
    """
    offsets = _heights(template) + _widths(template)
    offsets[template.regions["eyeballs"] > 0.5] = 0.0
    offsets += _inner_corners(template)
    return (offsets + offsets[template.mirror] * np.array([-1.0, 1.0, 1.0])) / 2


def in_its_size(heads: NDArray[np.floating], template: HeadTemplate) -> Array:
    """(N,) by how much more than the template's (N, V, 3) heads' eyes are apart."""
    pupils = [template.landmarks[f"{side}_eye_centre"] for side in ("left", "right")]

    def apart(vertices: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.linalg.norm(vertices[..., pupils[0], :] - vertices[..., pupils[1], :], axis=-1)

    return np.asarray(apart(heads) / apart(template.vertices), np.float64)


def brows_kept_on(template: HeadTemplate, offsets: Array) -> Array:
    """(V, 3) of a unit as it goes on the lowered brows: what comes near the lids was lowered less.

    Args:
        template: MakeHuman's mean head.
        offsets: (V, 3) of the unit on it, metres.
    """
    rest = template.vertices.astype(np.float64)
    out = np.array(offsets, np.float64)
    out[:, 2] += _brows(template, rest + offsets) - _brows(template, rest)
    return out


def _heights(template: HeadTemplate) -> Array:
    """The lower face raised, the brows and what they lie on lowered."""
    rest, mark = template.vertices.astype(np.float64), _marks(template)
    height = rest[:, 2]
    mouth, chin = (mark["upper_lip"][2] + mark["lower_lip"][2]) / 2, mark["chin"][2]
    nose = mark["nose_tip"][2] - 0.38 * (mark["nose_tip"][2] - mouth)  # its base
    at = [-1.0, chin - 0.060, chin - 0.012, mouth, nose, mark["left_lower_lid"][2] - 0.004, 1.0]
    line = np.arange(height.min() - 0.05, height.max() + 0.05, 1e-4)
    raised = np.interp(line, at, [0, 0, CHIN_UP, MOUTH_UP, NOSE_UP, 0, 0])
    soft = gaussian_filter1d(raised, _SOFT_M / 1e-4, mode="nearest")
    out = np.zeros_like(rest)
    out[:, 2] = np.interp(height, line, soft) * _front(template, 0.030, 0.004) + _brows(template, rest)
    return out


def _brows(template: HeadTemplate, points: Array) -> Array:
    """(N,) metres that the brows, and what they lie on, go up (so down) at (N, 3) points of the mean head."""
    mark, height = _marks(template), points[:, 2]
    ridge = template.vertices[template.regions["eyeballs"] > 0.5, 2].mean() + 0.024
    lowered = _step(mark["left_upper_lid"][2] + 0.001, ridge, height) * _step(
        ridge + 0.050, ridge + 0.004, height
    )
    # Between the brows less, or the nose's root would overhang.
    lowered *= 0.6 + 0.4 * _step(0.004, 0.016, np.abs(points[:, 0]))
    return -BROWS_DOWN * lowered * _front(template, 0.030, 0.004)


def _widths(template: HeadTemplate) -> Array:
    """Mouth and cheekbones wider."""
    rest, mark = template.vertices.astype(np.float64), _marks(template)
    side, height = np.abs(rest[:, 0]), rest[:, 2]
    corner = mark["left_mouth_corner"]
    mouth = np.exp(-0.5 * ((height - corner[2]) / 0.016) ** 2) * _front(template, 0.030, 0.004)
    mouth *= np.minimum(side / corner[0], 1.0) * _step(corner[0] + 0.035, corner[0], side)
    cheeks = np.exp(-0.5 * ((height - mark["left_lower_lid"][2] + 0.020) / 0.022) ** 2)
    cheeks *= _step(0.020, 0.050, side) * _front(template, 0.022, 0.0)
    out = np.zeros_like(rest)
    out[:, 0] = np.sign(rest[:, 0]) * (CORNERS_OUT * mouth + CHEEKS_OUT * cheeks)
    return out


def _inner_corners(template: HeadTemplate) -> Array:
    """The eyes' openings longer towards the nose, around the eyeballs."""
    rest = template.vertices.astype(np.float64)
    balls = template.regions["eyeballs"] > 0.5
    fixed, moves = [], []
    for side, sign in (("left", 1.0), ("right", -1.0)):
        rim = lid_rims(template)[side]
        arms = rest[rim] - eye_centre(template, rest, side)
        out = arms[:, 0] * sign
        share = (out.max() - out) / np.ptp(out)
        across = arms[:, 0] - sign * CORNERS_IN * share**2 * (3 - 2 * share)
        around = -np.sqrt(np.maximum(arms[:, 0] ** 2 + arms[:, 1] ** 2 - across**2, 0.0))
        # Not all the way around: the inner corner lies before the eyeball's side.
        moves.append(np.stack([across - arms[:, 0], 0.6 * (around - arms[:, 1]), np.zeros(len(rim))], axis=1))
        fixed.append(rim)
    led = np.concatenate(fixed)
    operator = operators(template.vertices, template.triangles)
    energy = (operator.bending() + sparse.diags(operator.mass) / _LID_REACH_M**4).tocsr()
    free = ~balls
    free[led] = False
    return extended(energy, led, np.concatenate(moves), free)


def _marks(template: HeadTemplate) -> dict[str, Array]:
    return {name: template.vertices[i].astype(np.float64) for name, i in template.landmarks.items()}


def _front(template: HeadTemplate, ahead: float, behind: float) -> Array:
    """(V,) 1 on the face, falling to 0 between `ahead` and `behind` metres before the ears."""
    ear = float(template.vertices[template.landmarks["left_ear"], 1])
    return _step(ear - behind, ear - ahead, template.vertices[:, 1].astype(np.float64))


def _step(start: float, end: float, value: Array) -> Array:
    """From 0 at `start` to 1 at `end`, which may be the lower one, with two smooth derivatives."""
    share = np.clip((value - start) / (end - start), 0.0, 1.0)
    return share**3 * (share * (6 * share - 15) + 10)
