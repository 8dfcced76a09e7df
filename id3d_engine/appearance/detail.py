"""Micro relief as a height map: pores, age lines, lip grooves, brow and hair strands.

Everything but the strands is a function of the point on the template at rest, so it runs across UV
seams and does not depend on the texture's size; strands follow the authored albedo, where they are
drawn already. Heights are metres above the skin; the deepest line of an old face is 0.25 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets.anatomy import anatomy, beard_field, wrinkle_field
from ..assets.appearance import AppearanceParameters
from ..assets.noise import fbm, spots
from ..template import SKIN, HeadTemplate
from .atlas import Atlas

Float = NDArray[np.float32]

MILLIMETRE = 1e-3
# Offset of the noise that bends the lines in the albedo; see `assets.skin`.
_ALBEDO_WAVES = 15
WRINKLE_DEPTH_M = 0.25 * MILLIMETRE
PORE_CELL_M = 1.5e-3
MAX_SLOPE = 0.7
# A feature narrower than this many texels would only alias.
TEXELS_PER_FEATURE = 2.0


@dataclass(frozen=True)
class Detail:
    """How strong each kind of relief is, 0 none, 1 most; `seed` is the appearance's texture seed."""

    pores: float = 0.5
    wrinkles: float = 0.1
    lips: float = 1.0
    strands: float = 1.0
    beard: float = 0.0
    seed: int = 0

    @classmethod
    def of(cls, appearance: AppearanceParameters) -> Detail:
        """What an authored appearance calls for."""
        look = appearance.clamped()
        return cls(
            pores=look.unevenness,
            wrinkles=look.wrinkles,
            beard=max(look.beard, look.moustache),
            seed=look.texture_seed,
        )


def author_height(template: HeadTemplate, atlas: Atlas, albedo_srgb: Float, detail: Detail) -> Float:
    """Height of every covered texel over the smooth skin.

    Args:
        template: The head at rest; its `regions` and eyeballs place the relief.
        atlas: Charts at the size wanted.
        albedo_srgb: (size, size, 3), the authored albedo, [0, 1]; strands are read from it.
        detail: Strengths and the noise's seed.

    Returns:
        (N,) float32, metres; zero on eyes and inside the mouth.
    """
    rest = atlas.rest
    skin = np.flatnonzero(atlas.part == SKIN)
    point = rest[skin]
    region = {name: _region(template, atlas, name)[skin] for name in ("face", "lips", "brows", "scalp")}
    texel_m = _texel_metres(atlas, rest)

    height = np.zeros(len(rest), np.float32)
    bare = np.clip(1.0 - region["lips"] - region["scalp"], 0.0, 1.0)
    relief = _pores(point, texel_m, detail) * bare * (0.35 + 0.65 * region["face"])
    if detail.wrinkles > 0.03:
        relief += wrinkle_height(template, point, detail.seed) * np.float32(detail.wrinkles**1.3) * bare
    relief += _lip_grooves(point, texel_m, detail) * region["lips"]
    hairy = np.clip(region["brows"] + region["scalp"], 0.0, 1.0)
    if detail.beard > 0.05:
        beard = np.max(beard_field(anatomy(template), point), axis=0)
        hairy = np.maximum(hairy, beard * np.float32(detail.beard))
    relief += _strands(atlas, albedo_srgb)[skin] * hairy * np.float32(detail.strands)
    height[skin] = relief
    return height


def _pores(point: Float, texel_m: float, detail: Detail) -> Float:
    """Round pits about 1.5 mm apart and a finer, irregular grain."""
    pits = spots(point, 1.0 / PORE_CELL_M, 0.9, detail.seed + 11)
    grain = fbm(point, 600.0, detail.seed + 12, octaves=2)
    out = -0.030 * MILLIMETRE * pits * _resolved(PORE_CELL_M * 0.7, texel_m)
    out += 0.020 * MILLIMETRE * grain * _resolved(1.6e-3, texel_m)
    return (out * (0.6 + 0.8 * detail.pores)).astype(np.float32)


def _lip_grooves(point: Float, texel_m: float, detail: Detail) -> Float:
    """Vertical furrows: noise that changes fast across the lips and slowly up and down."""
    x = np.stack([point[:, 0], point[:, 1] * 0.3, point[:, 2]], 1)
    noise = fbm(x, (650.0, 80.0, 110.0), detail.seed + 21, octaves=2)
    furrow = -np.clip(0.35 - np.abs(noise), 0.0, None) / 0.35
    return (0.07 * MILLIMETRE * detail.lips * _resolved(1.6e-3, texel_m) * furrow).astype(np.float32)


def _strands(atlas: Atlas, albedo_srgb: Float) -> Float:
    """Relief of drawn hair: what is darker or lighter than its surroundings stands out or lies back."""
    from scipy.ndimage import gaussian_filter

    grey = np.asarray(albedo_srgb, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    sigma = max(atlas.size / 1024.0 * 2.0, 1.0)
    fine = gaussian_filter(grey, sigma * 0.35) - gaussian_filter(grey, sigma * 1.6)
    flat = fine.reshape(-1)[atlas.texel.numpy()]
    return (-0.30 * MILLIMETRE * np.tanh(flat / 0.06)).astype(np.float32)


def wrinkle_height(template: HeadTemplate, point: Float, seed: int = 0) -> Float:
    """Age lines at full strength, metres, negative: exactly where the albedo's author draws them.

    Args:
        point: (N, 3) float32, positions on the template.
        seed: The appearance's texture seed.
    """
    waves = fbm(point, 55.0, seed * 31 + _ALBEDO_WAVES, octaves=2)
    return (-WRINKLE_DEPTH_M * wrinkle_field(anatomy(template), point, waves)).astype(np.float32)


def tangent_normals(
    height: Float, atlas: Atlas, vertices: NDArray[np.floating], strength: float = 1.0
) -> Float:
    """Tangent-space normal map of a height map, +X along u and +Y along v (up in the texture).

    With the surface's derivatives P_u = a t and P_v = c t + d b in the tangent frame (t, b), the
    height's gradient is g_t = h_u / a, g_b = (h_v - c g_t) / d, and n ~ (-g_t, -g_b, 1). The same to
    first order as `render.normal_map.bump` then `encode`, in a fraction of the memory.

    Args:
        height: (N,) float32, metres, of the atlas's covered texels.
        vertices: (V, 3), the head that wears the texture, metres.
        strength: Multiplies the height.

    Returns:
        (size, size, 3) float32 in [0, 1], (n + 1) / 2; gaps between charts repeat the nearest texel.
    """
    size = atlas.size
    texel = atlas.texel.numpy()
    field = np.full((size * size, 4), np.nan, np.float32)
    field[texel, 0] = height * np.float32(strength)
    field[texel, 1:] = atlas.positions(vertices)
    field = field.reshape(size, size, 4)

    along_u = _derivative(field, axis=1)[texel]
    along_v = -_derivative(field, axis=0)[texel]  # rows run against v
    a = np.linalg.norm(along_u[:, 1:], axis=1) + 1e-9
    c = (along_v[:, 1:] * along_u[:, 1:]).sum(1) / a
    d = np.sqrt(np.maximum((along_v[:, 1:] ** 2).sum(1) - c * c, 1e-12))
    slope_t = along_u[:, 0] / a
    slope_b = (along_v[:, 0] - c * slope_t) / d
    # A texel squeezed to nothing has no slope that means anything.
    squeezed = np.minimum(a, d) < 0.05 * np.median(a)
    # Where the layout squeezes the surface, drawn strands would become cliffs: slopes saturate.
    flatten = 1.0 / np.sqrt(1.0 + (slope_t**2 + slope_b**2) / MAX_SLOPE**2)
    normal = np.stack([-slope_t * flatten, -slope_b * flatten, np.ones_like(a)], -1)
    normal[squeezed] = (0.0, 0.0, 1.0)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return (normal[atlas.nearest.numpy()].reshape(size, size, 3) * 0.5 + 0.5).astype(np.float32)


def _derivative(field: Float, axis: int) -> Float:
    """(S, S, 4) height and position -> (S * S, 4) change per texel along `axis`, within a chart.

    The mean of the differences to both neighbours; the one there is at a chart's border.
    """
    step = np.diff(field, axis=axis)
    length = np.linalg.norm(step[..., 1:], axis=-1)
    inside = np.isfinite(length)
    if inside.any():  # charts may touch in the texture but not on the head
        inside &= np.nan_to_num(length) <= 8 * np.median(length[inside])
    step[~inside] = 0.0
    total, count = np.zeros_like(field), np.zeros(field.shape[:2], np.float32)
    for side in (slice(None, -1), slice(1, None)):
        place = (slice(None), side) if axis == 1 else (side, slice(None))
        total[place] += step
        count[place] += inside
    return (total / np.maximum(count, 1.0)[..., None]).reshape(-1, 4)


def _region(template: HeadTemplate, atlas: Atlas, name: str) -> Float:
    if name not in template.regions:
        return np.zeros(len(atlas.part), np.float32)
    values = np.asarray(template.regions[name], np.float32)[atlas.points.vertices.numpy()]
    return (values * atlas.points.weights.numpy()).sum(1)


def _texel_metres(atlas: Atlas, position: Float) -> float:
    pairs = atlas.pairs.numpy()
    return float(np.median(np.linalg.norm(position[pairs[:, 0]] - position[pairs[:, 1]], axis=1)))


def _resolved(feature_m: float, texel_m: float) -> float:
    """1 where a feature is wide enough to be drawn, fading to 0 as it narrows to one texel."""
    return float(np.clip(feature_m / texel_m / TEXELS_PER_FEATURE - 0.25, 0.0, 1.0))
