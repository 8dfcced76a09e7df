"""Painted eyeballs: sclera, iris with fibres, limbal ring and pupil, looking straight ahead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy
from .appearance import AppearanceParameters
from .noise import fbm
from .texels import Float, Texels, mixed, smoothstep

# Share of the eye opening's width that the iris takes (people: 11.7 mm of about 30 mm).
IRIS_OF_OPENING = 0.44
PUPIL_OF_IRIS = 0.38

# Light irises from blue over grey and green to hazel, and the brown that melanin adds; sRGB.
_LIGHT_IRIS = np.array(
    [(92, 130, 170), (112, 142, 160), (124, 140, 138), (106, 130, 94), (128, 114, 66), (128, 98, 52)],
    np.float32,
) / 255  # fmt: skip
_BROWN_IRIS = np.array([(128, 88, 46), (84, 52, 28), (46, 29, 19)], np.float32) / 255


def palette(colours: Float, position: float) -> Float:
    """(3,) colour at a position in [0, 1] along (K, 3) colours, linear between them."""
    at = np.linspace(0, 1, len(colours))
    return np.array([np.interp(position, at, colours[:, k]) for k in range(3)], np.float32)


def iris_colour(appearance: AppearanceParameters) -> Float:
    """(3,) sRGB, the iris's middle tone."""
    light = palette(_LIGHT_IRIS, appearance.iris_hue)
    brown = palette(_BROWN_IRIS, appearance.iris_melanin)
    share = float(smoothstep(0.25, 0.6, appearance.iris_melanin))
    return light + (brown - light) * share


@dataclass(frozen=True, eq=False)
class EyeTexels:
    """The eyeballs' texels in polar coordinates about the straight-ahead gaze (-Y).

    Attributes:
        where: (E,) positions within `Texels.points`.
        radius: (E,) distance from the pupil's centre seen from the front, metres; beyond the
            eyeball's equator it keeps growing.
        around: (E, 2) cosine and sine of the angle about the gaze.
        iris_m: Radius of the iris in metres.
    """

    where: NDArray[np.intp]
    radius: Float
    around: Float
    iris_m: float


def eye_texels(texel: Texels, anatomy: Anatomy, eyeballs: Float) -> EyeTexels:
    """`eyeballs` is that region per texel; both eyes are measured from their own sphere's centre."""
    where = np.flatnonzero(eyeballs > 0.5)
    points = texel.points[where]
    centre = np.where(points[:, :1] > 0, anatomy.eye, anatomy.eye * np.array([-1, 1, 1], np.float32))
    # The pupil sits between the lids, some 4 degrees below the eyeball's equator.
    drop = 0.8 * (anatomy.eye[2] - (anatomy.upper_lid[2] + anatomy.lower_lid[2]) / 2)
    offset = points - centre + np.array([0, 0, drop], np.float32)
    planar = np.hypot(offset[:, 0], offset[:, 2])
    back = offset[:, 1] > 0
    radius = np.where(back, 2 * anatomy.eye_radius - planar, planar)
    around = offset[:, [0, 2]] / np.maximum(planar, 1e-6)[:, None]
    iris = IRIS_OF_OPENING * float(anatomy.eye_outer[0] - anatomy.eye_inner[0]) / 2
    return EyeTexels(where, radius.astype(np.float32), around.astype(np.float32), iris)


def paint_eyes(eyes: EyeTexels, texel_m: float, appearance: AppearanceParameters) -> Float:
    """(E, 3) sRGB albedo; `texel_m` is the size of a texel, over which edges are softened.

    Both eyes are painted alike: the noise depends on the angle about the gaze, not on the place.
    """
    seed = appearance.texture_seed * 31 + 5
    r = eyes.radius / eyes.iris_m
    soft = max(texel_m / eyes.iris_m, 0.05)
    polar = np.concatenate([eyes.around, r[:, None]], axis=1)

    age = appearance.wrinkles
    white = np.array([0.69, 0.665, 0.645], np.float32) - np.array([0.02, 0.045, 0.09], np.float32) * age
    white = white - 0.05 * appearance.melanin * np.array([0.6, 0.9, 1.3], np.float32)
    colour = np.repeat(white[None], len(r), axis=0).astype(np.float32)
    veins = np.clip(fbm(polar, (9.0, 9.0, 0.7), seed, octaves=3) - 0.12, 0, 1) * smoothstep(1.2, 2.4, r)
    colour = mixed(colour, (0.74, 0.42, 0.38), np.clip(1.1 * veins, 0, 0.5))
    # Towards the corners and under the upper lid the white is never white.
    corner = smoothstep(1.3, 2.2, r) * np.abs(eyes.around[:, 0])
    colour = mixed(colour, (0.70, 0.48, 0.44), 0.55 * corner)
    above = r * eyes.around[:, 1]
    colour *= (1.0 - 0.10 * smoothstep(1.1, 2.3, r) - 0.22 * smoothstep(0.25, 1.0, above))[:, None]

    tone = iris_colour(appearance)
    fibres = 0.6 * fbm(polar, (7.0, 7.0, 0.6), seed + 1, octaves=2) + 0.5 * fbm(
        polar, (16.0, 16.0, 1.2), seed + 2
    )
    inner = smoothstep(0.85, 0.35, r)
    iris = tone[None] * (1.0 + 0.75 * fibres)[:, None]
    warm = np.clip(tone * np.array([1.45, 1.2, 0.85], np.float32) + 0.03, 0, 1)
    iris = mixed(iris, warm, 0.5 * inner * (0.7 + 0.6 * np.clip(fibres, -1, 1)))
    iris *= (1.0 - 0.62 * smoothstep(0.78, 1.0, r) - 0.25 * smoothstep(0.2, 1.0, above))[:, None]
    colour = mixed(colour, np.clip(iris, 0.01, 1), smoothstep(1.0 + soft, 1.0 - 0.6 * soft, r))
    pupil = smoothstep(PUPIL_OF_IRIS + 0.6 * soft, PUPIL_OF_IRIS - 0.6 * soft, r)
    return np.clip(mixed(colour, (0.018, 0.016, 0.016), pupil), 0.0, 1.0).astype(np.float32)
