"""Colours of strands: one tone, varied from lock to lock and hair to hair, then greyed hair by hair."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..assets.appearance import AppearanceParameters
from ..assets.hair_paint import greyed
from ..assets.texels import mixed
from ..strands import Strands

Float = NDArray[np.float32]


def tinted(
    tone: Float, lock: NDArray[np.int64], look: AppearanceParameters, random: np.random.Generator
) -> Float:
    """(S, 3) sRGB of strands that lie in the (S,) locks, as `hair_paint.scalp_hair` varies its tone."""
    fine = np.clip(random.normal(0, 0.3, len(lock)), -1, 1).astype(np.float32)
    broad = np.clip(random.normal(0, 0.3, lock.max() + 1), -1, 1).astype(np.float32)[lock]
    lightness = (0.55 + 0.45 * look.hair_melanin) * (0.5 * fine + 0.35 * broad)
    warm = np.array([0.88, 1.0, 1.18], np.float32) ** np.float32(1.0 - 0.6 * look.hair_melanin)
    colour = np.maximum(tone[None] * (1 + lightness[:, None] * warm), 0.0)
    shine = np.clip(tone * np.array([1.30, 1.24, 1.15], np.float32) + 0.03, 0, 1)
    colour = mixed(colour, shine, np.clip(1.1 * fine + 0.5 * broad - 0.05, 0, 0.55))
    hairs = random.uniform(-1, 1, len(lock)).astype(np.float32)
    return np.clip(greyed(colour, hairs, look.hair_grey), 0.006, 1.0).astype(np.float32)


def tuft(
    points: NDArray[np.floating],
    root_uv: Float,
    radius: NDArray[np.floating],
    colour: NDArray[np.floating],
    kind: int,
    look: AppearanceParameters,
) -> Strands:
    """Strands of one kind, see `Strands`."""
    return Strands(
        points=points.astype(np.float32),
        root_uv=root_uv,
        radius=radius.astype(np.float32),
        colour=colour.astype(np.float32),
        kind=np.full(len(points), kind, np.uint8),
        melanin=look.hair_melanin,
        redness=look.hair_red,
        grey=look.hair_grey,
        curl=look.hair_curl,
    )
