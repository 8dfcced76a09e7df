"""How each hair style is cut and which way it lies, on the mean head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets.appearance import AppearanceParameters
from ..assets.hair import PARTING_M
from ..assets.texels import smoothstep

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cut:
    """Lengths in metres.

    Attributes:
        count: Strands.
        top, side: Length on top, and on the sides and the back.
        ends: Shares of the way from the neck's end (0) to the eyes (1) where hanging hair ends; None
            for hair that does not hang.
        fringe: By how much higher it ends before the forehead, in the same shares; None where the face
            is kept free.
        lift: How steeply strands leave the scalp, 0 along it, 1 straight out.
        layer: Strands lie between a tenth of this and this above the body of the hair.
        gravity: Its pull against the direction that the hair is combed in.
        wild: How far single strands stray from it.
        clump, lock: How far strands gather at their tips in tufts, and these in locks, 0 to 1.
        inward: How far hair below the ears falls towards the neck.
        coil, turns: Radius and number of turns of each strand's coil.
        radius: Of a strand at its root.
    """

    count: int
    top: float
    side: float
    ends: tuple[float, float] | None = None
    fringe: float | None = None
    lift: float = 0.3
    layer: float = 0.006
    gravity: float = 0.2
    wild: float = 0.15
    clump: float = 0.4
    lock: float = 0.0
    inward: float = 0.0
    coil: float = 0.0
    turns: float = 0.0
    radius: float = 0.00024


CUTS: dict[str, Cut] = {
    "buzz": Cut(10000, 0.0042, 0.0032, lift=0.5, layer=0.003, wild=0.25, clump=0.0, radius=0.00014),
    "short": Cut(9000, 0.036, 0.017, lift=0.42, layer=0.012, wild=0.2, clump=0.5, lock=0.35),
    "side_part": Cut(9000, 0.078, 0.022, lift=0.3, layer=0.008, wild=0.12, clump=0.45, lock=0.35),
    "quiff": Cut(9000, 0.078, 0.017, lift=0.5, layer=0.012, wild=0.12, clump=0.5, lock=0.45),
    "bob": Cut(8500, 0.36, 0.36, ends=(0.22, 0.38), lift=0.12, layer=0.007, gravity=1.0, wild=0.05, clump=0.4,
               lock=0.4, inward=0.75),
    "long": Cut(8500, 0.42, 0.42, ends=(-0.42, 0.05), lift=0.12, layer=0.008, gravity=1.0, wild=0.06,
                clump=0.5, lock=0.6, inward=0.3),
    "curly": Cut(9000, 0.060, 0.050, lift=0.65, layer=0.026, gravity=0.3, wild=0.3, clump=0.75, lock=0.2,
                 coil=0.0042, turns=2.6),
    "afro": Cut(10000, 0.024, 0.020, lift=0.95, layer=0.020, gravity=0.0, wild=0.35, clump=0.3, coil=0.0022,
                turns=3.2, radius=0.00022),
    "layered": Cut(9500, 0.115, 0.068, ends=(0.45, 0.75), fringe=0.62, lift=0.34, layer=0.020, gravity=0.8,
                   wild=0.07, clump=0.4, lock=0.4, inward=1.5),
    "receding": Cut(6500, 0.020, 0.018, lift=0.3, layer=0.006, wild=0.2, clump=0.35, lock=0.2, radius=0.0002),
    "bun": Cut(8500, 0.085, 0.085, lift=0.05, layer=0.0025, gravity=0.0, wild=0.04, clump=0.3, lock=0.3),
}  # fmt: skip


def parting(look: AppearanceParameters) -> float:
    """Metres from the middle to the head's own left."""
    return (look.parting - 0.5) * PARTING_M


def combed(offset: Array, side: Array, look: AppearanceParameters) -> Array:
    """(N, 3) directions that the hair is combed in, not of unit length and not yet along the scalp.

    Args:
        offset: (N, 3) metres from the skull's centre, on the mean head.
        side: (N,) -1 or 1, the side of the parting that the strand's root lies on.
        look: Style and parting.
    """
    style = look.style
    if style in ("bob", "long"):
        return _parted(offset, side, parting(look), back=0.55)
    if style == "side_part":
        return _parted(offset, side, parting(look), back=0.75)
    if style == "quiff":
        return _swept_back(offset)
    if style == "bun":
        return _gathered(offset)
    if style == "layered":
        return _over_the_forehead(offset, parting(look))
    return _from_the_crown(offset, parting(look))


def _parted(offset: Array, side: Array, part: float, back: float) -> Array:
    """Sideways off the parting and down; behind it in a fan from the crown."""
    x, y, z = offset.T
    across = np.maximum(side * (x - part), 0.003)
    behind = np.maximum(y - 0.015, 0.0)
    length = np.hypot(across, behind)
    over = smoothstep(0.035, 0.085, z)
    forehead = smoothstep(-0.01, -0.05, y)
    out = np.empty_like(offset)
    out[:, 0] = side * (across / length) * (0.25 + 0.75 * over)
    out[:, 1] = behind / length * over + back * forehead
    out[:, 2] = -(1 - 0.75 * over) * (1 - 0.5 * forehead)
    return out


def _swept_back(offset: Array) -> Array:
    x, _, z = offset.T
    over = smoothstep(0.03, 0.08, z)
    return np.stack([1.5 * x, 0.8 + 0.2 * over, -0.75 * (1 - over)], axis=1)


def _from_the_crown(offset: Array, part: float) -> Array:
    """Away from a whorl at the crown; in front swept to one side and up."""
    pole = np.array([0.012, 0.05, 0.085])
    away = offset - pole
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.004)
    swirl = np.cross(pole / np.linalg.norm(pole), away)
    x, y, z = offset.T
    front = smoothstep(-0.045, -0.075, y) * smoothstep(0.02, 0.05, z)
    sideways = 1.0 if part <= 0 else -1.0
    brushed = np.stack([0.8 * sideways - 4 * x, -0.1 - 0 * x, 0.45 + 0 * x], axis=1)
    flow = away + 0.35 * swirl
    return flow + (brushed - flow) * front[:, None]


def _over_the_forehead(offset: Array, part: float) -> Array:
    """Away from a whorl at the crown and down; in front to one side, over the forehead."""
    pole = np.array([0.012, 0.045, 0.085])
    away = offset - pole
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.004)
    _, y, z = offset.T
    sideways = 1.0 if part <= 0 else -1.0
    front = smoothstep(-0.03, -0.075, y) * smoothstep(0.0, 0.04, z)
    away[:, 0] += 0.8 * sideways * front
    # The temples' hair lies back over the ears.
    away[:, 1] += 0.9 * smoothstep(0.0, -0.03, y) * smoothstep(0.05, 0.01, z)
    away[:, 2] -= 0.5 * smoothstep(0.06, 0.0, z)
    return away


def _gathered(offset: Array) -> Array:
    """Along great circles towards the bun, and round about it on it."""
    axis = np.array([0.0, 0.80, 0.60])
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    outward = offset / np.maximum(distance, 1e-4)
    along = outward @ axis
    inward = axis - along[:, None] * outward
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-3)
    on_bun = (smoothstep(0.10, 0.112, distance[:, 0]) * smoothstep(0.85, 0.93, along))[:, None]
    around = np.cross(axis, -inward) + 0.35 * inward
    return inward + (around - inward) * on_bun
