"""Can a UV layout be painted on: does it stay in its square, cover enough, and never twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..render.bake import uv_fragments


@dataclass(frozen=True)
class UvQuality:
    """One UV layout.

    Attributes:
        outside: Corners outside [0, 1].
        covered: Share of the square that some triangle covers.
        overlapping: Share of the covered that more than one triangle covers.
        flipped: Share of triangles that run clockwise, mirrored against the others.
        empty: Triangles without area.
    """

    outside: int
    covered: float
    overlapping: float
    flipped: float
    empty: int


def uv_quality(triangle_uv: NDArray[np.floating], size: int = 1024) -> UvQuality:
    """Quality of (T, 3, 2) UVs, v up, measured on size x size texels.

    Where two triangles cover a texel's centre, the rasteriser shows the first: in the reverse order
    it then shows another one.
    """
    uv = np.asarray(triangle_uv, np.float64)
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    real = np.abs(area) > 1e-12
    corners = torch.from_numpy(np.ascontiguousarray(uv[real], np.float32))
    first = uv_fragments(corners, size).triangle_id[0]
    last = len(corners) - 1 - uv_fragments(corners.flip(0), size).triangle_id[0]
    covered = first >= 0
    return UvQuality(
        outside=int(((uv < 0) | (uv > 1)).any(axis=2).sum()),
        covered=float(covered.float().mean()),
        overlapping=float((first != last)[covered].float().mean()) if covered.any() else 0.0,
        flipped=float((area[real] < 0).mean()) if real.any() else 0.0,
        empty=int((~real).sum()),
    )
