"""Hair as geometry: where it grows, which way it lies, and how far it stands off the scalp."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from ..template import HeadTemplate
from .anatomy import Anatomy, anatomy, beard_field
from .appearance import AppearanceParameters
from .noise import fbm
from .texels import Float, bump, smoothstep

# The hairline: height over the azimuth about the skull's vertical axis (0 in front, 180 at the
# nape). Heights are shares of the way from the eye (0) to the crown (1), on the mean head.
_AZIMUTH = (0.0, 20.0, 34.0, 44.0, 54.0, 63.0, 70.0, 77.0, 86.0, 100.0, 112.0, 125.0, 145.0, 180.0)
_USUAL = (0.60, 0.605, 0.60, 0.53, 0.37, 0.18, 0.00, -0.10, 0.05, 0.05, -0.08, -0.30, -0.44, -0.48)
_RECEDING = (0.80, 0.86, 0.92, 0.88, 0.60, 0.26, 0.02, -0.10, 0.05, 0.05, -0.08, -0.30, -0.44, -0.48)
_DOWN = (0.60, 0.605, 0.60, 0.53, 0.37, 0.18, -0.10, -0.40, -0.75, -1.10, -1.6, -1.8, -1.8, -1.8)


@dataclass(frozen=True)
class Style:
    """How a hair style stands off the head; lengths in metres at volume 1/2.

    Attributes:
        top, front, side, back: Thickness on top, above the forehead, at the sides, at the back.
        hang: How far the lower sides and back are pushed out to a curtain, 0 for short hair.
        down: Whether hair covers the neck's sides and back.
        lumps: Strength of noise in the thickness.
        falling: Strands leave a parting and hang; else they run along meridians about `pole`.
        pole: Direction (3,) from the skull's centre.
    """

    top: float
    front: float
    side: float
    back: float
    hang: float = 0.0
    down: bool = False
    lumps: float = 0.15
    falling: bool = False
    pole: tuple[float, float, float] = (0.0, 0.45, 0.9)


STYLES: dict[str, Style] = {
    "bald": Style(0.0, 0.0, 0.0, 0.0, lumps=0.0),
    "buzz": Style(0.003, 0.0025, 0.002, 0.0025, lumps=0.02),
    "short": Style(0.013, 0.011, 0.006, 0.008, lumps=0.35),
    "side_part": Style(0.016, 0.016, 0.007, 0.009, lumps=0.2, falling=True),
    "quiff": Style(0.018, 0.028, 0.006, 0.009, lumps=0.25, pole=(0.0, 0.75, -0.75)),
    "bob": Style(0.017, 0.013, 0.024, 0.024, hang=0.026, down=True, lumps=0.2, falling=True),
    "long": Style(0.015, 0.011, 0.019, 0.020, hang=0.034, down=True, lumps=0.22, falling=True),
    "curly": Style(0.026, 0.020, 0.020, 0.022, lumps=0.7),
    "afro": Style(0.044, 0.036, 0.038, 0.042, lumps=0.3),
    "receding": Style(0.006, 0.004, 0.006, 0.008, lumps=0.25),
    "layered": Style(0.020, 0.012, 0.013, 0.016, lumps=0.2),
    "bun": Style(0.007, 0.006, 0.004, 0.006, lumps=0.05, pole=(0.0, 0.85, 0.5)),
}
# What is left of hanging hair where strands do the hanging.
_CAP: dict[str, Any] = {
    "top": 0.007,
    "front": 0.005,
    "side": 0.004,
    "back": 0.006,
    "hang": 0.0,
    "down": False,
}
PARTING_M = 0.05  # between a parting on the far left and one on the far right
_BUN_RADIUS_M = 0.028


@dataclass(frozen=True, eq=False)
class SkullFrame:
    """Directions of (N,) points from the skull's centre.

    Attributes:
        azimuth: Degrees from straight ahead, 0 to 180, alike on both sides.
        height: 0 at the eyes, 1 at the crown.
        offset: (N, 3) metres from the centre.
        covered: 1 where hair may grow at all: skin of head and neck without ears and face.
    """

    azimuth: Float
    height: Float
    offset: Float
    covered: Float


def skull_frame(template: HeadTemplate, points: Float, ears: Float, skin: Float) -> SkullFrame:
    """`ears` and `skin` are (N,) masks of the points in [0, 1]."""
    a = anatomy(template)
    offset = points - a.centre
    azimuth = np.degrees(np.arctan2(np.abs(offset[:, 0]), -offset[:, 1])).astype(np.float32)
    height = (points[:, 2] - a.eye[2]) / (a.crown[2] - a.eye[2])
    return SkullFrame(azimuth, height.astype(np.float32), offset.astype(np.float32), skin * (1 - ears))


def style_of(appearance: AppearanceParameters, hanging: bool = True) -> Style:
    """The style that is worn; without `hanging` a bob or long hair is a cap that ends at the nape."""
    style = STYLES[appearance.style]
    return style if hanging or not style.down else replace(style, **_CAP)


def hair_depth(frame: SkullFrame, appearance: AppearanceParameters, hanging: bool = True) -> Float:
    """(N,) metres from the hairline into the hair, negative outside; about a distance near the line.

    `hanging`: see `style_of`.
    """
    style = style_of(appearance, hanging)
    if appearance.style == "bald":
        return np.full(len(frame.height), -0.05, np.float32)
    line = np.array(_RECEDING if appearance.style == "receding" else _DOWN if style.down else _USUAL)
    front = np.interp(_AZIMUTH, (0, 40, 62), (1.0, 1.0, 0.0))
    line = line + 0.22 * (appearance.hairline - 0.45) * front
    # Temples recede with a high hairline.
    line = line + 0.10 * max(appearance.hairline - 0.5, 0.0) * np.interp(_AZIMUTH, (15, 36, 60), (0, 1, 0))
    curve = PchipInterpolator(_AZIMUTH, line)
    table = np.linspace(0, 180, 361)
    unit = 0.114  # eye to crown, metres
    slope = np.gradient(curve(table) * unit, np.radians(table) * 0.078)
    height = np.interp(frame.azimuth, table, curve(table))
    steep = np.interp(frame.azimuth, table, slope)
    depth = (frame.height - height) * unit / np.sqrt(1 + steep**2)
    if appearance.style == "receding":
        depth = np.minimum(depth, 0.022)
    return depth.astype(np.float32)


def strand_coordinates(frame: SkullFrame, appearance: AppearanceParameters) -> Float:
    """(N, 3): two numbers that stay the same along a strand, in radians about the skull, and metres /
    0.1 along it. Noise with a high frequency in the first two looks like hair."""
    style = STYLES[appearance.style]
    offset = frame.offset.astype(np.float64)
    if style.falling:
        return _falling(offset, (appearance.parting - 0.5) * PARTING_M)
    pole = np.array(style.pole, np.float64)
    pole /= np.linalg.norm(pole)
    along = offset @ pole
    across = offset - along[:, None] * pole
    circle = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-4)
    first = np.cross(pole, (0.0, 0.3, 1.0) if abs(pole[2]) < 0.7 else (0.0, 1.0, 0.0))
    first /= np.linalg.norm(first)
    columns = [circle @ first, circle @ np.cross(pole, first), along / 0.1]
    return np.stack(columns, axis=1).astype(np.float32)


def _falling(offset: NDArray[np.float64], part: float) -> Float:
    """Parted hair: sideways off the parting and straight down, at the back in a fan from the crown."""
    x, y, z = offset[:, 0] - part, offset[:, 1] - 0.02, offset[:, 2]
    fan = np.pi / 2 - np.arctan2(np.abs(x), np.maximum(y, 0.0))
    strand = np.where(y < 0, y / 0.08, fan)
    # The two halves differ, but meet at the back of the head without a seam.
    side = 0.35 * np.where(y < 0, np.sign(x), np.clip(x / (0.002 + 0.03 * np.clip(y / 0.03, 0, 1)), -1, 1))
    return np.stack([strand, side, (np.abs(x) - z) / 0.1], axis=1).astype(np.float32)


def hair_offsets(
    template: HeadTemplate, neutral: Float, appearance: AppearanceParameters, hanging: bool = True
) -> Float:
    """Hair raised from the scalp in the template's own topology.

    Args:
        template: The topology and its mean head.
        neutral: (V, 3) the bald head, metres.
        appearance: Style, volume, curl, hairline and texture seed.
        hanging: See `style_of`. Without, a beard is not raised either: that is strands, too.

    Returns:
        (V, 3) float32 offsets in metres, 0 outside hair and beard; eyes, ears and lips do not move.
    """
    from ..render.normals import vertex_normals

    look = appearance.clamped()
    style = style_of(look, hanging)
    import torch

    a = anatomy(template)
    skin = np.zeros(len(template.vertices), np.float32)
    skin[template.faces[template.part == 0]] = 1.0
    skin *= 1 - np.clip(template.regions["eye_sockets"], 0, 1)
    frame = skull_frame(template, template.vertices, np.clip(template.regions["ears"] * 1.0, 0, 1), skin)
    thickness = _thickness(template, a, frame, look, style)
    normals = vertex_normals(
        torch.from_numpy(np.ascontiguousarray(neutral, np.float32)), torch.from_numpy(template.triangles)
    ).numpy()
    # Outwards from the skull rather than along the normal, so that folds cannot cross.
    radial = frame.offset / np.maximum(np.linalg.norm(frame.offset, axis=1, keepdims=True), 1e-4)
    direction = 0.5 * normals + 0.5 * radial
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-4)
    out = direction * thickness[:, None]
    out += _curtain(a, frame, look, style)
    out = _smoothed(template, out, frame.covered)
    if hanging:
        out += direction * _beard_thickness(template, a, look)[:, None]
    if look.style == "bun":
        out += _bun(frame)
    return out.astype(np.float32)


def with_cap(template: HeadTemplate, skin: Float, appearance: AppearanceParameters) -> Float:
    """(V, 3) the bald head with what strands are put on: no beard, and nothing that hangs."""
    return (skin + hair_offsets(template, skin, appearance, hanging=False)).astype(np.float32)


def _thickness(
    template: HeadTemplate, a: Anatomy, frame: SkullFrame, look: AppearanceParameters, style: Style
) -> Float:
    """(V,) metres off the scalp."""
    depth = hair_depth(frame, look, style.down)
    volume = 0.45 + 1.1 * look.hair_volume
    top = smoothstep(0.55, 0.95, frame.height)
    fore = smoothstep(75.0, 40.0, frame.azimuth) * smoothstep(0.45, 0.65, frame.height)
    rear = smoothstep(100.0, 140.0, frame.azimuth)
    low = style.side + (style.back - style.side) * rear
    thick = low + (style.top - low) * top
    thick = thick + (style.front - thick) * fore * smoothstep(1.02, 0.75, frame.height)
    seed = look.texture_seed * 31 + 11
    lumps = fbm(template.vertices, 55.0, seed, octaves=2)
    bulk = fbm(template.vertices, 18.0, seed + 1) * (0.18 if look.style == "afro" else 0.45)
    curl = style.lumps * (0.6 + 0.8 * look.hair_curl)
    thick = thick * volume * np.clip(1 + 1.6 * curl * lumps + bulk, 0.3, 2.0)
    # Sideburns and the hair just behind the ears lie flat.
    near_ear = np.exp(-0.5 * np.square((np.abs(template.vertices[:, 0]) - a.ear[0]) / 0.02)) * bump(
        template.vertices[:, 1], a.ear[1], 0.022
    )
    near_ear *= smoothstep(a.ear_top + 0.012, a.ear_top - 0.004, template.vertices[:, 2])
    thick = thick * (1 - 0.75 * near_ear)
    if look.style in ("side_part", "bob", "long"):
        part = (look.parting - 0.5) * PARTING_M
        groove = bump(template.vertices[:, 0], part, 0.006) * smoothstep(0.75, 0.95, frame.height)
        thick = thick * (1 - 0.45 * groove)
    reach = 0.012 + 0.3 * float(thick.max())
    return (thick * smoothstep(-0.002, reach, depth) * frame.covered).astype(np.float32)


def _beard_thickness(template: HeadTemplate, a: Anatomy, look: AppearanceParameters) -> Float:
    """(V,) metres that beard and moustache stand off the skin; lips, ears and eyes keep their place."""
    if max(look.beard, look.moustache) < 0.2:
        return np.zeros(len(template.vertices), np.float32)
    jaw, chin, moustache = beard_field(a, template.vertices)
    length = 0.011 * smoothstep(0.3, 1.0, look.beard)
    full = np.maximum(jaw, chin) * length
    patch = 0.005 * chin * smoothstep(0.1, 0.4, look.beard)
    lip = 0.003 * moustache * look.moustache
    bare = np.maximum(template.regions["lips"], template.regions["ears"])
    skin = np.clip(1 - 2 * bare, 0, 1) * (1 - template.regions["mouth_inside"])
    lumps = 1 + 0.5 * fbm(template.vertices, 120.0, look.texture_seed * 31 + 12)
    thick = np.maximum(np.maximum(full, patch), lip) * skin * lumps
    return _smoothed(template, thick[:, None].astype(np.float32), skin, rounds=1)[:, 0]


def _curtain(a: Anatomy, frame: SkullFrame, look: AppearanceParameters, style: Style) -> Float:
    """(V, 3): long hair pushes the lower sides and back outwards, more towards the bottom."""
    out = np.zeros_like(frame.offset)
    if style.hang <= 0:
        return out
    z = frame.offset[:, 2] + a.centre[2]
    fall = smoothstep(a.ear_top + 0.01, a.ear_bottom - 0.01, z)
    fall = fall * smoothstep(0.002, 0.020, hair_depth(frame, look))
    amount = style.hang * (0.5 + look.hair_volume) * fall * frame.covered
    planar = frame.offset[:, :2] / np.maximum(
        np.linalg.norm(frame.offset[:, :2], axis=1, keepdims=True), 1e-4
    )
    out[:, :2] = planar * amount[:, None] * np.array([1.15, 0.9], np.float32)
    if look.style == "bob":
        out[:, :2] *= smoothstep(a.chin[2] - 0.045, a.chin[2] - 0.005, z)[:, None]
    return out


def _smoothed(template: HeadTemplate, offsets: Float, covered: Float, rounds: int = 2) -> Float:
    """Averages with the neighbours, so that the border has no steps; ears and face stay put."""
    faces = template.faces
    edges = np.concatenate([faces[:, [k, (k + 1) % 4]] for k in range(4)])
    edges = edges[edges[:, 0] != edges[:, 1]]
    count = np.maximum(np.bincount(edges.ravel(), minlength=len(offsets)), 1)[:, None]
    for _ in range(rounds):
        total = np.zeros_like(offsets)
        for k in range(offsets.shape[1]):
            total[:, k] = np.bincount(edges[:, 0], offsets[edges[:, 1], k], len(offsets)) + np.bincount(
                edges[:, 1], offsets[edges[:, 0], k], len(offsets)
            )
        offsets = 0.5 * offsets + 0.5 * total / count
    return offsets * covered[:, None]


def _bun(frame: SkullFrame) -> Float:
    """(V, 3): the scalp high at the back is wrapped onto a ball of hair."""
    direction = np.array([0.0, 0.80, 0.60], np.float32)
    unit = frame.offset / np.maximum(np.linalg.norm(frame.offset, axis=1, keepdims=True), 1e-4)
    angle = np.arccos(np.clip(unit @ direction, -1, 1))
    inside = angle / 0.52
    foot = (frame.offset @ direction)[inside < 0.3].mean() * direction
    sideways = unit - (unit @ direction)[:, None] * direction
    sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-4)
    # Polar angle on the ball: 0 on its far end, 2.5 at its neck.
    polar = np.clip(inside, 0, 1)[:, None] * 2.5
    ball = foot + _BUN_RADIUS_M * ((0.75 + np.cos(polar)) * direction + np.sin(polar) * sideways)
    share = smoothstep(1.0, 0.85, inside)[:, None] * frame.covered[:, None]
    return (share * (ball - frame.offset)).astype(np.float32)
