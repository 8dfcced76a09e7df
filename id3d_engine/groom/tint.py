"""Colours of strands: one tone, varied from clump to clump and hair to hair, then greyed hair by hair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..assets.appearance import AppearanceParameters
from ..assets.hair_paint import greyed, hair_colour
from ..assets.texels import mixed

Float = NDArray[np.float32]


def tinted(
    tone: Float, clump: NDArray[np.int64], look: AppearanceParameters, random: np.random.Generator
) -> Float:
    """(S, 3) sRGB of strands that gather in the (S,) clumps, as `hair_paint.scalp_hair` varies its tone."""
    fine = np.clip(random.normal(0, 0.3, len(clump)), -1, 1).astype(np.float32)
    broad = np.clip(random.normal(0, 0.3, clump.max() + 1), -1, 1).astype(np.float32)[clump]
    lightness = (0.55 + 0.45 * look.hair_melanin) * (0.5 * fine + 0.35 * broad)
    warm = np.array([0.88, 1.0, 1.18], np.float32) ** np.float32(1.0 - 0.6 * look.hair_melanin)
    colour = np.maximum(tone[None] * (1 + lightness[:, None] * warm), 0.0)
    shine = np.clip(tone * np.array([1.30, 1.24, 1.15], np.float32) + 0.03, 0, 1)
    colour = mixed(colour, shine, np.clip(1.1 * fine + 0.5 * broad - 0.05, 0, 0.55))
    hairs = random.uniform(-1, 1, len(clump)).astype(np.float32)
    return np.clip(greyed(colour, hairs, look.hair_grey), 0.006, 1.0).astype(np.float32)


def scalp_tone(look: AppearanceParameters) -> Float:
    """(3,) sRGB middle tone of scalp hair."""
    return hair_colour(look)
