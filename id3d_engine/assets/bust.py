"""Shoulders under the head, so that a photograph does not end in an open neck."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..template import SKIN, HeadTemplate

Float = NDArray[np.float32]

# Rings of cloth from the collar down: share of the way from the neck's border to the shoulders'
# outline, and height in metres.
_RINGS = ((-0.045, 0.016), (0.02, 0.020), (0.05, 0.010), (0.25, -0.012), (0.60, -0.034),
          (0.92, -0.062), (1.0, -0.10), (1.02, -0.30))  # fmt: skip
_SHOULDERS_M = (0.215, 0.115)


@dataclass(frozen=True, eq=False)
class Bust:
    """The head's triangles followed by the cloth's.

    Attributes:
        border: (N,) vertices around the neck's base, in order.
        triangles: (T, 3) int64.
        triangle_uv: (T, 3, 2), zeros on cloth.
        first_cloth: Index of the first cloth triangle.
        first_wire: Of the first triangle of spectacles, which follow the cloth; None without them.
        chin: The chin's vertex.
        neck_width_m: Of the mean head.
    """

    border: NDArray[np.intp]
    triangles: Tensor
    triangle_uv: Tensor
    first_cloth: int
    chin: int
    neck_width_m: float
    first_wire: int | None = None


@lru_cache(maxsize=4)
def bust(template: HeadTemplate) -> Bust:
    """Cached."""
    border = neck_border(template)
    count, total = len(border), len(template.vertices)
    cloth = []
    for ring in range(len(_RINGS) - 1):
        for k in range(count):
            a, b = total + ring * count + k, total + ring * count + (k + 1) % count
            cloth += [(a, a + count, b), (b, a + count, b + count)]
    triangles = np.concatenate([template.triangles, np.array(cloth)])
    uv = np.concatenate([template.triangle_uv, np.zeros((len(cloth), 3, 2), np.float32)])
    return Bust(
        border=border,
        triangles=torch.from_numpy(triangles.astype(np.int64)),
        triangle_uv=torch.from_numpy(uv),
        first_cloth=len(template.triangles),
        chin=template.landmarks["chin"],
        neck_width_m=float(np.ptp(template.vertices[border, 0])),
    )


def neck_border(template: HeadTemplate) -> NDArray[np.intp]:
    """Vertices around the lid that closes the neck from below, in order of their angle."""
    faces = template.faces[template.part == SKIN]
    corners = template.vertices[faces]
    normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    down = normal[:, 2] < -0.75 * np.linalg.norm(normal, axis=1)
    # Grow from the lowest such face, so that the chin's underside stays out.
    inside = np.zeros(len(template.vertices), bool)
    lowest = np.where(down, corners[..., 2].mean(axis=1), np.inf).argmin()
    inside[faces[lowest]] = True
    for _ in range(64):
        grown = down & inside[faces].any(axis=1)
        before = inside.sum()
        inside[faces[grown]] = True
        if inside.sum() == before:
            break
    other = np.zeros(len(template.vertices), bool)
    other[faces[~(down & inside[faces].any(axis=1))]] = True
    loop = np.flatnonzero(inside & other)
    points = template.vertices[loop]
    middle = points.mean(axis=0)
    return loop[np.argsort(np.arctan2(points[:, 1] - middle[1], points[:, 0] - middle[0]))]


def dress(figure: Bust, head: Float, skin: Float) -> Float:
    """(V + B, 3): the head with cloth around its neck; `skin` is the same head without hair."""
    loop = skin[figure.border]
    middle = loop.mean(axis=0)
    outward = loop[:, :2] - middle[:2]
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
    # Children's shoulders are as much narrower as their necks, and no collar may cover a chin.
    scale = float(np.clip(np.ptp(loop[:, 0]) / figure.neck_width_m, 0.45, 1.4))
    chin = skin[figure.chin, 2] - 0.008
    drop = min(0.0, float(chin - loop[np.argmin(loop[:, 1]), 2] - _RINGS[1][1] * scale))
    outline = middle[:2] + scale * (outward * np.array(_SHOULDERS_M, np.float32) + (0.0, 0.015))
    rings = []
    for index, (share, height) in enumerate(_RINGS):
        if drop < 0 and index < 2:
            share -= min(0.16, -6 * drop)
        ring = np.empty_like(loop)
        ring[:, :2] = loop[:, :2] + share * (outline - loop[:, :2])
        level = max(share, 0.0) ** 0.5
        # The first ring stays at the neck, however far the collar drops.
        fall = drop if index else 0.0
        ring[:, 2] = loop[:, 2] * (1 - level) + middle[2] * level + height * scale + fall
        rings.append(ring)
    return np.concatenate([head, *rings]).astype(np.float32)
