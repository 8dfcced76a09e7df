"""Where things are on the mean head: the coordinates that skin, brows, beard and hair are drawn in.

All lengths are metres on the template's mean head; `side` is |x|, so that both halves are drawn alike.
The functions take points on that mean head, which may be vertices or texels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..template import EYE, SKIN, HeadTemplate, per_triangle
from .texels import Float, bump, smoothstep


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Points (3,) on the mean head; those of one side are on the head's own left (x > 0).

    Attributes:
        eye: Centre of the eyeball.
        eye_radius: Of the eyeball.
        eye_inner, eye_outer, upper_lid, lower_lid: Ends of the eye's opening.
        lid_edge: (E, 3) points along the lids' visible edge around that eye.
        nose_tip, nose_base, bridge, chin, crown: On the middle line.
        mouth: Middle of the closed lips.
        mouth_corner: Where the lips meet.
        ear: Centre of the ear; ear_top, ear_bottom: its highest and lowest z.
        centre: Middle of the skull, about which hair is arranged.
    """

    eye: Float
    eye_radius: float
    eye_inner: Float
    eye_outer: Float
    upper_lid: Float
    lower_lid: Float
    lid_edge: Float
    nose_tip: Float
    nose_base: Float
    bridge: Float
    chin: Float
    crown: Float
    mouth: Float
    mouth_corner: Float
    ear: Float
    ear_top: float
    ear_bottom: float
    centre: Float


@lru_cache(maxsize=4)
def anatomy(template: HeadTemplate) -> Anatomy:
    """Measured on the template's mean head; cached."""
    v = template.vertices

    def at(name: str) -> Float:
        return v[template.landmarks[name]]

    ball = (template.regions["eyeballs"] > 0.5) & (v[:, 0] > 0)
    eye, radius = fit_sphere(v[ball])
    ears = (template.regions["ears"] > 0.5) & (v[:, 0] > 0)
    mouth = (at("upper_lip") + at("lower_lip")) / 2
    tip, chin, crown = at("nose_tip"), at("chin"), at("crown")
    nose_base = np.array([0.0, tip[1] + 0.012, tip[2] - 0.38 * (tip[2] - mouth[2])], np.float32)
    centre = np.array([0.0, (tip[1] + v[:, 1].max()) / 2 + 0.005, eye[2] + 0.018], np.float32)
    return Anatomy(
        eye=eye,
        eye_radius=radius,
        eye_inner=at("left_eye_inner"),
        eye_outer=at("left_eye_outer"),
        upper_lid=at("left_upper_lid"),
        lower_lid=at("left_lower_lid"),
        lid_edge=_visible_lid_edge(template, eye),
        nose_tip=tip,
        nose_base=nose_base,
        bridge=at("nose_bridge"),
        chin=chin,
        crown=crown,
        mouth=mouth,
        mouth_corner=at("left_mouth_corner"),
        ear=v[ears].mean(axis=0),
        ear_top=float(v[ears, 2].max()),
        ear_bottom=float(v[ears, 2].min()),
        centre=centre,
    )


def fit_sphere(points: Float) -> tuple[Float, float]:
    """Least-squares sphere through (N, 3) points: centre (3,) and radius."""
    p = points.astype(np.float64)
    middle = p.mean(axis=0)
    q = p - middle
    system = np.column_stack([2 * q, np.ones(len(q))])
    solution = np.linalg.lstsq(system, (q**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))
    return (solution[:3] + middle).astype(np.float32), radius


def _visible_lid_edge(template: HeadTemplate, eye: Float) -> Float:
    """(E, 3) lid points next to the eyeball as seen from the front, head's own left."""
    import torch

    from ..render.cameras import orbit
    from ..render.surface import see

    camera = orbit(0.0, 0.0, 0.8, 3.2, (float(eye[0]), float(eye[1]), float(eye[2])))
    triangles = torch.from_numpy(template.triangles).long()
    seen = see(torch.from_numpy(np.ascontiguousarray(template.vertices)), triangles, camera, (360, 360))
    index = seen.fragments.triangle_id[0].numpy()
    part = np.where(index >= 0, per_triangle(template.part)[index], SKIN)
    ball = part == EYE
    beside = np.zeros_like(ball)
    for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        beside |= np.roll(ball, shift, (0, 1))
    edge = beside & (part == SKIN) & (index >= 0)
    return seen.position[0].permute(1, 2, 0).numpy()[edge].astype(np.float32)


def redness_field(a: Anatomy, points: Float) -> Float:
    """(N,) in [0, 1]: where blood shows: nose, cheeks, chin (ears are a region of their own)."""
    side, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    front = smoothstep(a.ear[1], a.ear[1] - 0.03, y)
    tip = np.exp(-(np.square(points - a.nose_tip) / 0.0115**2).sum(axis=1) / 2)
    cheek_x, cheek_z = a.eye[0] * 1.35, (a.eye[2] + a.mouth[2]) / 2 + 0.002
    cheek = bump(side, cheek_x, 0.018) * bump(z, cheek_z, 0.015)
    chin = 0.4 * bump(side, 0.0, 0.015) * bump(z, a.chin[2], 0.012)
    return np.maximum(np.maximum(0.7 * tip, 0.8 * cheek), chin).astype(np.float32) * front


def lid_field(a: Anatomy, points: Float) -> tuple[Float, Float]:
    """Upper lids and the ring below the eyes, (N,) each in [0, 1]."""
    side, z = np.abs(points[:, 0]), points[:, 2]
    front = smoothstep(a.eye[1] + 0.012, a.eye[1], points[:, 1])
    half = (a.eye_outer[0] - a.eye_inner[0]) / 2
    middle = (a.eye_outer[0] + a.eye_inner[0]) / 2
    across = np.exp(-0.5 * np.square((side - middle) / (half * 0.95)) ** 2)
    upper = across * bump(z, a.upper_lid[2] + 0.0035, 0.0036)
    arc = a.lower_lid[2] - 0.0065 + 0.006 * np.square((side - middle) / half)
    lower = across * bump(z, arc, 0.0042)
    return (upper * front).astype(np.float32), (lower * front).astype(np.float32)


def lid_distance(a: Anatomy, points: Float, reach: float = 0.012) -> Float:
    """(N,) metres from each point to the visible edge of the nearest eye's lids, `reach` where farther."""
    from scipy.spatial import cKDTree

    folded = points.copy()
    folded[:, 0] = np.abs(folded[:, 0])
    out = np.full(len(points), reach, np.float32)
    near = np.flatnonzero(np.abs(folded - a.eye).max(axis=1) < 0.035)
    out[near] = np.minimum(cKDTree(a.lid_edge).query(folded[near])[0], reach)
    return out


@dataclass(frozen=True, eq=False)
class BrowFrame:
    """Coordinates along and across the brow for (N,) points.

    Attributes:
        along: 0 at the nose's end, 1 at the temple's end.
        across: Metres above the brow's flat middle line.
        valid: 1 where a brow can be at all.
    """

    along: Float
    across: Float
    valid: Float


def brow_frame(a: Anatomy, points: Float) -> BrowFrame:
    """The brow lies on the ridge above the eye, a little wider than the eye's opening."""
    side, z = np.abs(points[:, 0]), points[:, 2]
    start = a.eye_inner[0] - 0.004
    end = a.eye_outer[0] + 0.009
    along = (side - start) / (end - start)
    clipped = np.clip(along, 0, 1)
    # Rising for two thirds, then falling towards the temple.
    line = a.eye[2] + 0.0145 + 0.0035 * np.sin(np.pi * np.clip(clipped * 0.72 + 0.02, 0, 1))
    line -= 0.006 * smoothstep(0.6, 1.0, clipped)
    valid = smoothstep(a.eye[1] + 0.030, a.eye[1] + 0.015, points[:, 1]) * (np.abs(along - 0.5) < 0.75)
    return BrowFrame(along.astype(np.float32), (z - line).astype(np.float32), valid.astype(np.float32))


def beard_field(a: Anatomy, points: Float) -> tuple[Float, Float, Float]:
    """Where beard hairs grow: cheeks and jaw, the chin's patch, the moustache; (N,) each in [0, 1]."""
    side, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    corner = a.mouth_corner
    back = np.clip((y - corner[1]) / (a.ear[1] - 0.012 - corner[1]), 0, 1)
    cheek_line = corner[2] - 0.004 + (a.ear[2] - corner[2]) * back**1.6
    jaw_line = a.chin[2] - 0.020 + 0.030 * back
    upper = smoothstep(0.009, -0.009, z - cheek_line)
    lower = smoothstep(-0.012, 0.010, z - jaw_line)
    behind = smoothstep(a.ear[1] + 0.004, a.ear[1] - 0.016, y)
    beyond = smoothstep(corner[0] - 0.005, corner[0] + 0.009, side)
    below = smoothstep(a.mouth[2] - 0.011, a.mouth[2] - 0.019, z)
    jaw = upper * lower * behind * np.maximum(beyond, below)
    patch = below * lower * bump(side, 0.0, 0.019) * smoothstep(a.chin[1] + 0.05, a.chin[1] + 0.03, y)
    ring = smoothstep(0.010, 0.003, np.abs(side - corner[0] - 0.004)) * smoothstep(
        0.004, -0.004, z - corner[2]
    )
    chin = np.maximum(patch, ring * lower * smoothstep(corner[1] + 0.03, corner[1] + 0.015, y))
    # Between nose and lip, narrowing to the sides and drooping a little past the corners.
    reach = np.clip(side / (corner[0] + 0.010), 0, 1)
    top = a.nose_base[2] - 0.0015 - 0.011 * reach**1.5
    bottom = a.mouth[2] + 0.0045 - 0.008 * reach**2
    over = smoothstep(0.0030, -0.0030, z - top) * smoothstep(-0.0025, 0.0020, z - bottom)
    over = over * smoothstep(1.0, 0.70, reach) * (0.75 + 0.25 * smoothstep(0.0, 0.004, side))
    moustache = over * smoothstep(a.ear[1] - 0.03, a.ear[1] - 0.05, y)
    return jaw.astype(np.float32), chin.astype(np.float32), moustache.astype(np.float32)


def wrinkle_field(a: Anatomy, points: Float, waves: Float) -> Float:
    """(N,) in [0, 1]: lines of age on forehead, between the brows, at the eyes, nose, mouth and neck.

    `waves` (N,) in about [-1, 1] is smooth noise that bends the lines and breaks them up.
    """
    side, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    front = smoothstep(a.ear[1], a.ear[1] - 0.02, y)
    lines = np.zeros(len(points), np.float32)
    broken = np.clip(0.75 + 0.6 * waves, 0, 1)

    def add(distance: Float, width: float, mask: Float) -> None:
        np.maximum(lines, np.exp(-0.5 * np.square(distance / width)).astype(np.float32) * mask, out=lines)

    for k in range(4):
        height = a.eye[2] + 0.032 + 0.0095 * k - 0.25 * side**1.5 / 0.25 + 0.003 * waves
        add(z - height, 0.0007, front * smoothstep(0.055, 0.03, side) * broken)
    add(side - 0.0055 - 0.002 * waves, 0.0007, bump(z, a.eye[2] + 0.017, 0.006) * front)
    # Crow's feet: rays from the outer corner.
    dx, dz = side - a.eye_outer[0] + 0.004, z - a.eye_outer[2]
    radius = np.hypot(dx, dz)
    angle = np.arctan2(dz, dx)
    feet = smoothstep(0.008, 0.011, radius) * smoothstep(0.027, 0.016, radius) * (dx > 0)
    for direction in (-0.55, -0.25, 0.08, 0.4):
        add((angle - direction - 0.12 * waves) * radius, 0.0006, feet * front)
    for drop in (0.008, 0.0125):
        middle = (a.eye_inner[0] + a.eye_outer[0]) / 2
        arc = a.lower_lid[2] - drop + 16.0 * np.square(side - middle) + 0.001 * waves
        add(z - arc, 0.0007, 0.7 * smoothstep(0.020, 0.012, np.abs(side - middle)) * front)
    # From the wing of the nose past the corner of the mouth, and from there down to the jaw.
    start = np.array([0.019, a.nose_base[2] + 0.007])
    stop = np.array([a.mouth_corner[0] + 0.009, a.mouth_corner[2] + 0.001])
    add(_to_segment(side, z, start, stop, 0.0022) + 0.0008 * waves, 0.0013, front)
    down = np.array([a.mouth_corner[0] + 0.005, a.mouth_corner[2] - 0.018])
    add(_to_segment(side, z, stop - np.array([0.006, 0.004]), down, 0.0), 0.0010, 0.6 * front)
    upper = smoothstep(a.mouth[2] + 0.004, a.mouth[2] + 0.008, z) * smoothstep(
        a.nose_base[2], a.nose_base[2] - 0.004, z
    )
    add(
        ((side * 260) % 1.0 - 0.5) / 260,
        0.0004,
        0.25 * upper * smoothstep(0.026, 0.018, side) * front * broken,
    )
    for k in range(3):
        add(
            z - (a.chin[2] - 0.036 - 0.011 * k + 0.5 * (y - a.chin[1] - 0.06) + 0.004 * waves),
            0.0009,
            0.7 * front,
        )
    return lines


def _to_segment(x: Float, z: Float, start: Float, stop: Float, sag: float) -> Float:
    """Distance to the segment bent outwards by `sag` in its middle."""
    direction = stop - start
    t = np.clip(
        ((x - start[0]) * direction[0] + (z - start[1]) * direction[1]) / (direction @ direction), 0, 1
    )
    bow = sag * 4 * t * (1 - t)
    return np.hypot(x - start[0] - t * direction[0] - bow, z - start[1] - t * direction[1])
