"""Albedo, roughness and specular maps, authored in the template's texture space.

Everything is a function of the position on the mean head, so seams in the layout do not show, and of
the appearance alone, so the same numbers give the same texture. No light is painted in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import InputError
from ..template import EYE, MOUTH, HeadTemplate
from .anatomy import (
    Anatomy,
    BrowFrame,
    anatomy,
    beard_field,
    brow_frame,
    lid_distance,
    lid_field,
    redness_field,
    wrinkle_field,
)
from .appearance import AppearanceParameters
from .eyes import EyeTexels, eye_texels, paint_eyes, palette
from .hair import SkullFrame, skull_frame
from .hair_paint import beard_colour, beard_cover, brow_colour, brow_cover, scalp_hair
from .noise import fbm, spots
from .texels import Float, Texels, bump, mixed, smoothstep, texels

# Skin from very fair to very dark; sRGB.
_SKIN = np.array(
    [(242, 212, 195), (230, 190, 166), (214, 166, 136), (188, 136, 104), (148, 100, 72), (108, 70, 50),
     (72, 47, 36)],
    np.float32,
) / 255  # fmt: skip


@dataclass(frozen=True, eq=False)
class Textures:
    """Maps of one head; T texels along a side, row 0 on top.

    Attributes:
        albedo_srgb: (T, T, 3) float32 in [0, 1], sRGB-encoded.
        roughness: (T, T) float32 in [0, 1], as in glTF (perceptual, GGX alpha is its square).
        specular: (T, T) float32 in [0, 1], 0.5 is a dielectric of 4 % reflectance.
    """

    albedo_srgb: Float
    roughness: Float
    specular: Float


@dataclass(frozen=True, eq=False)
class SkinFields:
    """What depends on the template and the size only, (N,) per covered texel unless said otherwise."""

    anatomy: Anatomy
    texel: Texels
    texel_m: float
    lips: Float
    ears: Float
    skin: Float
    redness: Float
    upper_lid: Float
    under_eye: Float
    lid_edge: Float
    brow: BrowFrame
    jaw: Float
    chin: Float
    moustache: Float
    nostrils: Float
    skull: SkullFrame
    eyes: EyeTexels
    teeth: Float
    tongue: Float


def author_textures(
    template: HeadTemplate, appearance: AppearanceParameters, size: int, hanging: bool = True
) -> Textures:
    """Maps for an appearance; deterministic, and valid for any numbers in it.

    Args:
        template: The head's topology.
        appearance: What to draw; clamped here, not by the caller.
        size: Texels along a side, 16 to 8192.
        hanging: Whether a bob or long hair is painted on the neck, see `hair.style_of`.

    Raises:
        InputError: `size` is out of range.
    """
    if not 16 <= size <= 8192:
        raise InputError(f"a texture of {size} texels cannot be authored: choose 16 to 8192")
    look = appearance.clamped()
    f = skin_fields(template, size)
    points = f.texel.points
    colour = _skin_colour(f, look)
    roughness = 0.50 + 0.05 * fbm(points, 900.0, look.texture_seed * 31 + 1)
    roughness -= 0.08 * f.redness - 0.06 * look.wrinkles
    specular = np.full(len(points), 0.46, np.float32)

    colour, lips = _paint_lips(colour, f, look)
    roughness = roughness + (0.38 - roughness) * lips
    specular = specular + 0.06 * lips
    colour = _paint_marks(colour, f, look)
    colour = _paint_makeup(colour, f, look, lips)

    dense, stubble = beard_cover(f.jaw, f.chin, f.moustache, points, look, f.texel_m)
    beard = beard_colour(look)
    whiskers = 1 + 0.40 * fbm(points, (900.0, 900.0, 220.0), look.texture_seed * 31 + 2)
    # Short hairs under the skin look cooler than they are.
    cool = 0.55 * colour * np.array([0.80, 0.90, 1.0], np.float32) + 0.45 * beard
    colour = mixed(colour, cool, stubble * f.skin * (1 - 0.9 * lips))
    dense = dense * f.skin * (1 - 0.9 * lips)
    colour = mixed(colour, np.clip(beard[None] * whiskers[:, None], 0.006, 1), dense)

    brows = brow_cover(f.brow, points, look, f.texel_m) * f.skin
    colour = mixed(colour, brow_colour(look), brows)
    colour = _paint_lashes(colour, f, look)

    hair, cover, strands = scalp_hair(f.skull, points, look, f.texel.extent, hanging)
    colour = mixed(colour, hair, cover)
    hairy = np.maximum(np.maximum(cover, dense), 0.8 * brows)
    roughness = roughness + (0.66 - 0.14 * strands - roughness) * hairy
    specular = specular + (0.22 + 0.13 * strands - specular) * hairy

    _paint_inside(colour, roughness, specular, f)
    colour[f.eyes.where] = paint_eyes(f.eyes, float(np.median(f.texel.extent[f.eyes.where])), look)
    roughness[f.eyes.where], specular[f.eyes.where] = 0.08, 0.5
    image = f.texel.image
    return Textures(
        image(np.clip(colour, 0.0, 1.0)),
        image(np.clip(roughness, 0.04, 1.0)),
        image(np.clip(specular, 0.0, 1.0)),
    )


@lru_cache(maxsize=3)
def skin_fields(template: HeadTemplate, size: int) -> SkinFields:
    """The template's part of the work; cached."""
    texel = texels(template, size)
    a = anatomy(template)
    points = texel.points
    regions = template.regions

    def region(name: str) -> Float:
        return np.clip(texel.interpolate(regions[name]), 0, 1)

    ears = region("ears")
    skin = (texel.part != EYE) & (texel.part != MOUTH)
    skin = skin * (1 - region("eye_sockets"))
    jaw, chin, moustache = beard_field(a, points)
    upper, under = lid_field(a, points)
    lips = region("lips")
    hole = np.array([0.0095, a.nose_base[1] + 0.004, a.nose_base[2] + 0.004], np.float32)
    folded = points.copy()
    folded[:, 0] = np.abs(folded[:, 0])
    inside = np.exp(-0.5 * (np.square(folded - hole) / np.square([0.0050, 0.007, 0.005])).sum(axis=1))
    down = texel.interpolate(_normals(template))[:, 2]
    inside = np.clip(1.6 * inside, 0, 1) * smoothstep(0.05, -0.55, down)
    front = texel.extent[(points[:, 1] < a.eye[1]) & (skin > 0.5)]
    return SkinFields(
        anatomy=a,
        texel=texel,
        texel_m=float(np.median(front)) if len(front) else 0.25 / size,
        lips=lips,
        ears=ears,
        skin=skin.astype(np.float32),
        redness=np.maximum(redness_field(a, points), 0.9 * ears) * skin,
        upper_lid=upper,
        under_eye=under,
        lid_edge=lid_distance(a, points),
        brow=brow_frame(a, points),
        jaw=jaw,
        chin=chin,
        moustache=moustache,
        nostrils=inside.astype(np.float32) * skin,
        skull=skull_frame(template, points, ears, skin.astype(np.float32)),
        eyes=eye_texels(texel, a, region("eyeballs")),
        teeth=region("teeth"),
        tongue=region("tongue"),
    )


def _normals(template: HeadTemplate) -> Float:
    """(V, 3) normals of the mean head."""
    import torch

    from ..render.normals import vertex_normals

    return vertex_normals(torch.from_numpy(template.vertices), torch.from_numpy(template.triangles)).numpy()


def skin_tone(look: AppearanceParameters) -> Float:
    """(3,) sRGB, the skin's middle tone."""
    tone = palette(_SKIN, look.melanin)
    blood = look.haemoglobin - 0.5
    warm = look.undertone - 0.5
    scale = np.array(
        [1 + 0.02 * blood + 0.01 * warm, 1 - 0.10 * blood + 0.02 * warm, 1 - 0.07 * blood - 0.13 * warm]
    )
    return (tone * scale).astype(np.float32)


def _skin_colour(f: SkinFields, look: AppearanceParameters) -> Float:
    """(N, 3): tone, large and small variation, redness, lids."""
    points, seed = f.texel.points, look.texture_seed * 31
    uneven = 0.4 + look.unevenness
    pigment = fbm(points, 28.0, seed + 3, octaves=3)
    blood = fbm(points, 42.0, seed + 4, octaves=3)
    pores = fbm(points, 620.0, seed + 5, octaves=2)
    fine = 1 + uneven * (0.075 * pigment + 0.055 * pores)
    colour = skin_tone(look)[None] * fine[:, None]
    red = (0.10 + 0.55 * look.redness) * f.redness + uneven * 0.16 * blood
    # Blood takes green and blue; it shows less through dark skin.
    weight = np.array([-0.01, 0.30, 0.26], np.float32) * (1 - 0.45 * look.melanin)
    colour = colour * (1 - red[:, None] * weight)
    lid = 0.32 * f.upper_lid
    colour = colour * (1 - lid[:, None] * np.array([0.14, 0.22, 0.20], np.float32))
    ring = (0.25 + 0.9 * look.under_eye) * f.under_eye
    colour = colour * (1 - ring[:, None] * np.array([0.20, 0.24, 0.16], np.float32))
    colour = colour * (1 - (0.75 * f.nostrils)[:, None] * np.array([0.75, 0.85, 0.85], np.float32))
    return colour.astype(np.float32)


def _paint_lips(colour: Float, f: SkinFields, look: AppearanceParameters) -> tuple[Float, Float]:
    points, seed = f.texel.points, look.texture_seed * 31
    edge = fbm(points, 160.0, seed + 6)
    cover = smoothstep(0.20, 0.85, f.lips + 0.08 * edge)
    tone = skin_tone(look)
    pale = tone * np.array([0.93, 0.80, 0.79], np.float32)
    red = tone * np.array([0.90, 0.54, 0.56], np.float32) + np.array([0.03, 0.0, 0.005], np.float32)
    lip = (pale + (red - pale) * look.lip_red) * (1.06 - 0.34 * look.lip_dark)
    folds = fbm(points, (700.0, 120.0, 120.0), seed + 7, octaves=2)
    rim = bump(f.lips, 0.55, 0.16)
    tint = lip[None] * (1 + 0.10 * folds - 0.09 * rim)[:, None]
    return mixed(colour, np.clip(tint, 0, 1), cover * f.skin * 0.92), cover * f.skin


def _paint_marks(colour: Float, f: SkinFields, look: AppearanceParameters) -> Float:
    """Freckles, spots, moles and wrinkles."""
    points, seed = f.texel.points, look.texture_seed * 31
    bare = f.skin * (1 - smoothstep(0.3, 0.6, f.lips))
    if look.freckles > 0.02:
        where = np.clip(0.25 + 1.2 * f.redness + 0.35 * fbm(points, 30.0, seed + 8), 0, 1)
        where *= smoothstep(-0.06, -0.10, points[:, 1]) * 0.8 + 0.2
        fine = spots(points, 260.0, 0.15 + 0.75 * look.freckles, seed + 9)
        big = spots(points, 150.0, 0.30 * look.freckles, seed + 10)
        amount = np.maximum(smoothstep(0.1, 0.6, fine), smoothstep(0.2, 0.7, big)) * where
        shade = colour * np.array([0.78, 0.62, 0.50], np.float32)
        colour = mixed(colour, shade, bare * amount * (0.25 + 0.7 * look.freckles))
    # None on a face of which nobody said that it has spots: a mole at a wrong place is another person's.
    moles = smoothstep(0.45, 0.7, spots(points, 210.0, 0.012 * look.spots, seed + 12))
    colour = mixed(colour, colour * np.array([0.52, 0.42, 0.38], np.float32), 0.7 * moles * bare)
    if look.spots > 0.05:
        age = spots(points, 120.0, 0.25 * look.spots, seed + 13)
        age = smoothstep(0.1, 0.5, age + 0.25 * fbm(points, 300.0, seed + 14) * (age > 0))
        colour = mixed(
            colour, colour * np.array([0.80, 0.68, 0.58], np.float32), 0.75 * look.spots * age * bare
        )
    if look.wrinkles > 0.03:
        waves = fbm(points, 55.0, seed + 15, octaves=2)
        lines = wrinkle_field(f.anatomy, points, waves) * bare
        web = np.clip(1 - np.abs(fbm(points, (140.0, 140.0, 260.0), seed + 16, octaves=2)) * 9, 0, 1)
        lines = np.maximum(lines, 0.30 * web * smoothstep(0.45, 0.95, look.wrinkles))
        depth = look.wrinkles**1.3 * 0.52
        colour = colour * (1 - depth * lines[:, None] * np.array([0.46, 0.56, 0.58], np.float32))
    return colour


def _paint_lashes(colour: Float, f: SkinFields, look: AppearanceParameters) -> Float:
    """A dark line along the upper lid's edge, a faint one along the lower, and rosy inner edges."""
    points = f.texel.points
    inner = smoothstep(0.0018, 0.0004, f.lid_edge) * f.skin
    colour = mixed(colour, colour * np.array([0.86, 0.66, 0.64], np.float32), 0.7 * inner)
    upper = smoothstep(-0.0015, 0.0015, points[:, 2] - f.anatomy.eye_outer[2])
    ragged = 0.25 * fbm(points, (1400.0, 900.0, 300.0), look.texture_seed * 31 + 18)
    line = smoothstep(0.0016 + 0.4 * f.texel_m, 0.0005, f.lid_edge * (1 + ragged)) * f.skin
    dark = np.array([0.10, 0.07, 0.06], np.float32)
    amount = (
        line * (0.12 + (0.53 + 0.25 * look.makeup) * upper) * (1 - 0.5 * look.hair_grey * (1 - look.makeup))
    )
    return mixed(colour, dark, amount)


def _paint_makeup(colour: Float, f: SkinFields, look: AppearanceParameters, lips: Float) -> Float:
    if look.makeup < 0.03:
        return colour
    amount = look.makeup
    hue = (look.texture_seed * 0.6180339887) % 1.0
    shades = np.array(
        [(0.36, 0.24, 0.22), (0.30, 0.26, 0.34), (0.42, 0.26, 0.28), (0.24, 0.24, 0.27)], np.float32
    )
    stick = np.array(
        [(0.66, 0.10, 0.14), (0.72, 0.28, 0.32), (0.52, 0.10, 0.20), (0.74, 0.36, 0.32)], np.float32
    )
    shadow = palette(shades, hue)
    colour = mixed(colour, 0.5 * shadow + 0.5 * colour, 0.75 * amount * f.upper_lid * f.skin)
    rouge = colour * np.array([1.0, 0.80, 0.82], np.float32)
    colour = mixed(colour, rouge, 0.6 * amount * f.redness * (1 - f.ears))
    stick_share = 0.35 + 0.3 * (1 - look.melanin)
    painted = palette(stick, hue) * (1 - stick_share) + stick_share * colour
    return mixed(colour, painted, amount * lips)


def _paint_inside(colour: Float, roughness: Float, specular: Float, f: SkinFields) -> None:
    """Teeth, tongue and the mouth's and sockets' insides, in place."""
    points = f.texel.points
    mouth = f.texel.part == MOUTH
    socket = (1 - f.skin) * ~mouth
    wet = fbm(points, 220.0, 77, octaves=2)[:, None]
    flesh = np.array([0.46, 0.17, 0.17], np.float32) * (1 + 0.20 * wet)
    tongue = np.array([0.66, 0.33, 0.33], np.float32) * (1 + 0.22 * wet)
    tooth = np.array([0.85, 0.82, 0.765], np.float32) * (1 + 0.04 * wet)
    inside = mixed(mixed(flesh, tongue, smoothstep(0.3, 0.7, f.tongue)), tooth, smoothstep(0.3, 0.7, f.teeth))
    colour[mouth] = inside[mouth]
    roughness[mouth] = 0.42
    specular[mouth] = 0.3
    edge = np.maximum(socket, smoothstep(0.0016, 0.0008, f.lid_edge))
    roughness += (0.75 - roughness) * edge
    specular += (0.15 - specular) * edge
    np.copyto(colour, mixed(colour, (0.78, 0.50, 0.45), socket))
