"""The CPU visibility kernel.

Homogeneous edge functions (Olano and Greer, "Triangle Scan Conversion using 2D Homogeneous
Coordinates", 1997) need no clipping: with vertices (x, y, w), edge function i is the plane through
the other two and the eye, and all three have the determinant's sign exactly where the pixel's ray
meets the triangle in front of the eye. Float64 products of float32 numbers are exact, and the two
triangles of a shared edge get coefficients that are exact negatives of each other, so the tie
rule leaves neither gaps nor double hits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def rasterize_band(
    points: np.ndarray, faces: np.ndarray, ids: np.ndarray, depth: np.ndarray, top: int, bottom: int
) -> None:
    """Draw (T, 3) faces of (V, 4) float64 clip points into rows [top, bottom) of (H, W) ids and depth."""
    height, width = ids.shape
    # Pixel (i, j) has its centre at NDC (sx * i + ox, sy * j + oy); row 0 on top.
    sx, sy = 2.0 / width, -2.0 / height
    ox, oy = 1.0 / width - 1.0, 1.0 - 1.0 / height
    for t in range(faces.shape[0]):
        p, q, r = faces[t, 0], faces[t, 1], faces[t, 2]
        x0, y0, z0, w0 = points[p, 0], points[p, 1], points[p, 2], points[p, 3]
        x1, y1, z1, w1 = points[q, 0], points[q, 1], points[q, 2], points[q, 3]
        x2, y2, z2, w2 = points[r, 0], points[r, 1], points[r, 2], points[r, 3]

        first, last, upper, lower = 0, width - 1, top, bottom - 1
        if w0 > 0.0 and w1 > 0.0 and w2 > 0.0:
            u0, u1, u2 = x0 / w0, x1 / w1, x2 / w2
            v0, v1, v2 = y0 / w0, y1 / w1, y2 / w2
            left, right = min(u0, u1, u2), max(u0, u1, u2)
            low, high = min(v0, v1, v2), max(v0, v1, v2)
            if not (right >= -1.0 and left <= 1.0 and high >= -1.0 and low <= 1.0):
                continue
            # One millionth of a pixel of slack: rounding must not lose a centre on the border.
            first = max(first, math.ceil((max(left, -1.0) - ox) / sx - 1e-6))
            last = min(last, math.floor((min(right, 1.0) - ox) / sx + 1e-6))
            upper = max(upper, math.ceil((min(high, 1.0) - oy) / sy - 1e-6))
            lower = min(lower, math.floor((max(low, -1.0) - oy) / sy + 1e-6))
            if first > last or upper > lower:
                continue
        elif not (w0 > 0.0 or w1 > 0.0 or w2 > 0.0):
            continue

        a0, b0, c0 = y1 * w2 - w1 * y2, w1 * x2 - x1 * w2, x1 * y2 - y1 * x2
        a1, b1, c1 = y2 * w0 - w2 * y0, w2 * x0 - x2 * w0, x2 * y0 - y2 * x0
        a2, b2, c2 = y0 * w1 - w0 * y1, w0 * x1 - x0 * w1, x0 * y1 - y0 * x1
        volume = a0 * x0 + b0 * y0 + c0 * w0
        if volume == 0.0 or volume - volume != 0.0:  # degenerate, infinite or NaN
            continue
        if volume < 0.0:
            volume = -volume
            a0, b0, c0, a1, b1, c1, a2, b2, c2 = -a0, -b0, -c0, -a1, -b1, -c1, -a2, -b2, -c2
        # A centre exactly on an edge belongs to the triangle on the edge's "positive" side.
        in0 = a0 > 0.0 or (a0 == 0.0 and b0 > 0.0)
        in1 = a1 > 0.0 or (a1 == 0.0 and b1 > 0.0)
        in2 = a2 > 0.0 or (a2 == 0.0 and b2 > 0.0)
        # z/w is linear over the screen.
        az = (a0 * z0 + a1 * z1 + a2 * z2) / volume
        bz = (b0 * z0 + b1 * z1 + b2 * z2) / volume
        cz = (c0 * z0 + c1 * z1 + c2 * z2) / volume

        for j in range(upper, lower + 1):
            y = sy * j + oy
            r0, r1, r2, rz = b0 * y + c0, b1 * y + c1, b2 * y + c2, bz * y + cz
            for i in range(first, last + 1):
                x = sx * i + ox
                e0, e1, e2 = a0 * x + r0, a1 * x + r1, a2 * x + r2
                if e0 < 0.0 or e1 < 0.0 or e2 < 0.0:
                    continue
                if (e0 == 0.0 and not in0) or (e1 == 0.0 and not in1) or (e2 == 0.0 and not in2):
                    continue
                z = az * x + rz
                if z < -1.0 or z > 1.0:
                    continue
                nearer = np.float32(z)
                if nearer < depth[j, i]:
                    depth[j, i] = nearer
                    ids[j, i] = t
