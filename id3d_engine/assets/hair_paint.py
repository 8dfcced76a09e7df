"""Painted hair: scalp, brows, lashes and beard as strands of colour over the skin."""

from __future__ import annotations

import numpy as np

from .anatomy import BrowFrame
from .appearance import AppearanceParameters
from .eyes import palette
from .hair import PARTING_M, SkullFrame, hair_depth, strand_coordinates
from .noise import fbm
from .texels import Float, bump, mixed, smoothstep

# From platinum to black along melanin, and the same with red pigment; sRGB.
_HAIR = np.array(
    [(222, 205, 161), (188, 163, 111), (141, 116, 77), (90, 71, 52), (52, 42, 33), (30, 25, 22),
     (19, 17, 17)],
    np.float32,
) / 255  # fmt: skip
_RED_HAIR = np.array(
    [(226, 186, 140), (206, 132, 76), (168, 84, 40), (116, 50, 28), (68, 34, 24), (36, 23, 19), (20, 17, 17)],
    np.float32,
) / 255  # fmt: skip
GREY_HAIR = np.array([0.74, 0.73, 0.71], np.float32)


def hair_colour(appearance: AppearanceParameters, melanin_shift: float = 0.0) -> Float:
    """(3,) sRGB middle tone of the pigmented hair; grey is mixed in strand by strand."""
    melanin = float(np.clip(appearance.hair_melanin + melanin_shift, 0, 1))
    ash, red = palette(_HAIR, melanin), palette(_RED_HAIR, melanin)
    return ash + (red - ash) * appearance.hair_red


def greyed(colour: Float, strands: Float, grey: float) -> Float:
    """(N, 3): whole strands turn white first, as grey hair does; `strands` in about [-1, 1]."""
    if grey < 0.02:
        return colour
    share = smoothstep(-0.8, 0.8, 2.0 * grey - 1.0 + 0.8 * strands)
    white = GREY_HAIR * (1 + 0.22 * strands)[:, None]
    return mixed(colour, white, np.clip(0.45 * grey + 0.55 * share * min(1.0, 2.0 * grey), 0, 1))


def scalp_hair(
    frame: SkullFrame, points: Float, look: AppearanceParameters, extent: Float, hanging: bool = True
) -> tuple[Float, Float, Float]:
    """Colour (N, 3), cover (N,) in [0, 1] and strand noise (N,) in about [-1, 1] of the scalp's hair.

    `extent` (N,) is the size of each texel in metres: strands finer than two of them would alias.
    `hanging`: see `hair.style_of`.
    """
    seed = look.texture_seed * 31 + 17
    depth = hair_depth(frame, look, hanging)
    strand = strand_coordinates(frame, look)
    curl = look.hair_curl if look.style not in ("curly", "afro") else max(look.hair_curl, 0.7)
    bend = fbm(points, 22.0 + 70.0 * curl, seed, octaves=2)
    strand[:, 0] += (0.02 + 0.16 * curl) * bend
    wanted = 2.2 * float(np.median(extent[depth > 0])) if (depth > 0).any() else 0.001
    strand_m = max(0.0012, wanted)
    per_radian = 0.085 / strand_m
    octaves = 2 if wanted < 0.0006 else 1
    fine = fbm(strand, (per_radian, per_radian, 1.6 + 8.0 * curl), seed + 1, octaves=octaves, gain=0.4)
    fine *= smoothstep(1.3, 2.4, strand_m / extent)
    clump = fbm(strand, (15.0, 15.0, 0.7 + 4.0 * curl), seed + 2, octaves=2)
    broad = fbm(points, 14.0, seed + 3)
    if look.style in ("curly", "afro", "buzz"):
        grain = fbm(points, 800.0 if look.style == "buzz" else 230.0, seed + 4, octaves=2)
        fine = 0.35 * fine + 0.9 * grain
        clump = 0.4 * clump
    tone = hair_colour(look)
    # Light hair varies less in lightness and darkens towards a warm brown.
    depth_of_tone = 0.55 + 0.45 * look.hair_melanin
    lightness = depth_of_tone * (0.55 * fine + 0.35 * clump + 0.18 * broad)
    warm = np.array([0.88, 1.0, 1.18], np.float32) ** np.float32(1.0 - 0.6 * look.hair_melanin)
    colour = np.maximum(tone[None] * (1 + lightness[:, None] * warm), 0.0)
    # Single strands catch the light even where hair is black.
    shine = np.clip(tone * np.array([1.30, 1.24, 1.15], np.float32) + 0.03, 0, 1)
    colour = mixed(colour, shine, np.clip(1.1 * fine + 0.5 * clump - 0.05, 0, 0.55))
    # The nape and the sides are less bleached than the top.
    colour *= (0.82 + 0.18 * smoothstep(-0.3, 0.5, frame.height))[:, None]
    colour = greyed(colour, np.clip(1.2 * fine + 0.5 * clump, -1, 1), look.hair_grey)

    rough = fine * 0.005 + clump * 0.004 + broad * 0.004
    width = 0.004 if look.style == "buzz" else 0.006 + 0.004 * look.hairline
    cover = smoothstep(-width, width, depth + rough)
    density = {"buzz": 0.80, "receding": 0.93}.get(look.style, 1.0)
    if look.style == "buzz":
        cover = cover * (density - 0.25 * np.clip(fine, -0.5, 0.5))
    elif look.style == "receding":
        crown = bump(frame.offset[:, 1], 0.02, 0.035) * smoothstep(0.80, 0.95, frame.height)
        cover = cover * np.clip(density - 0.55 * crown + 0.35 * fine, 0, 1)
    if look.style == "bald":
        # Shaved hair leaves a faint shade where it would grow.
        usual = AppearanceParameters(hairline=look.hairline)
        shade = 0.20 * smoothstep(-0.008, 0.02, hair_depth(frame, usual)) * (1 - look.hair_grey)
        cover = shade * smoothstep(0.95, 0.55, frame.height) * (0.7 + 0.6 * fine)
    if look.style in ("side_part", "bob", "long"):
        part = (look.parting - 0.5) * PARTING_M
        line = bump(points[:, 0] + 0.004 * bend, part, 0.0012) * smoothstep(0.72, 0.80, frame.height)
        line *= smoothstep(0.055, 0.03, frame.offset[:, 1])
        cover = cover * (1 - 0.45 * line)
    return np.clip(colour, 0.006, 1.0), np.clip(cover, 0, 1) * frame.covered, fine


def brow_cover(frame: BrowFrame, points: Float, look: AppearanceParameters, texel_m: float) -> Float:
    """(N,) how much of each texel brow hairs cover."""
    seed = look.texture_seed * 31 + 23
    along = frame.along
    inside = np.clip(along, 0, 1)
    arch = 0.0045 * (look.brow_arch - 0.45) * np.sin(np.pi * np.clip(inside * 0.8 + 0.02, 0, 1))
    across = frame.across - arch
    half = (0.0020 + 0.0032 * look.brow_thickness) * (1 - 0.62 * smoothstep(0.45, 1.0, inside))
    half = half * (0.8 + 0.2 * smoothstep(0.0, 0.15, inside))
    # Hairs point outwards, upwards at the nose's end and along the brow at the other.
    lean = 0.9 - 0.75 * smoothstep(0.0, 0.6, inside)
    metres = inside * 0.036
    stroke = np.stack([metres - across * (1.3 - lean), across, points[:, 2] * 0], axis=1)
    stroke[:, 2] = np.sign(points[:, 0]) * 0.01
    hairs = fbm(
        stroke.astype(np.float32), (min(2100.0, 0.5 / texel_m), 300.0, 100.0), seed, octaves=2, gain=0.7
    )
    edge = smoothstep(1.35, 0.45, np.abs(across) / half - 0.55 * hairs)
    ends = smoothstep(-0.06, 0.14, along + 0.08 * hairs) * smoothstep(1.06, 0.78, along + 0.06 * hairs)
    cover = edge * ends * np.clip(0.70 + 0.75 * hairs, 0, 1)
    return np.clip(cover * (0.25 + 0.80 * look.brow_density), 0, 0.88).astype(np.float32) * frame.valid


def brow_colour(look: AppearanceParameters) -> Float:
    """(3,) sRGB: the hair's colour, darker or lighter by `brow_tone`, greying later than it."""
    shift = 0.55 * (look.brow_tone - 0.45) + 0.08
    colour = hair_colour(look, max(shift, 0.36 - look.hair_melanin))
    return np.maximum(colour + (GREY_HAIR - colour) * max(0.0, look.hair_grey - 0.45), 0.085)


def beard_colour(look: AppearanceParameters) -> Float:
    """(3,) sRGB: a little darker than the hair, and nearly as grey."""
    colour = hair_colour(look, 0.04)
    return colour + (np.float32(0.62) - colour) * 0.85 * look.hair_grey


def beard_cover(
    jaw: Float, chin: Float, moustache: Float, points: Float, look: AppearanceParameters, texel_m: float
) -> tuple[Float, Float]:
    """Long hairs and stubble shade, (N,) each in [0, 1]."""
    seed = look.texture_seed * 31 + 29
    across = min(900.0, 0.45 / texel_m)
    hairs = fbm(points, (across, across, across / 3), seed, octaves=2)
    patchy = fbm(points, 60.0, seed + 1, octaves=2)
    full = np.maximum(
        jaw * smoothstep(0.25, 0.7, look.beard),
        chin * smoothstep(0.05, 0.4, look.beard),
    )
    full = np.maximum(full, moustache * look.moustache)
    edge = smoothstep(0.25, 0.85, full + (0.45 * hairs + 0.25 * patchy) * (full > 0.02))
    dense = np.clip(edge * (0.80 + 0.5 * hairs), 0, 0.97)
    dots = fbm(points, 1100.0, seed + 2)
    where = np.maximum(np.maximum(jaw, chin), 0.95 * moustache)
    shade = where * look.stubble * np.clip(0.50 + 0.35 * dots + 0.25 * patchy, 0, 1)
    return dense.astype(np.float32), (0.72 * shade).astype(np.float32)
