"""Seeded noise in space: the same value at the same point, whatever the texture's size.

Evaluated at rest positions, so that it runs across UV seams without a break. Integer hashing makes
it the same on every machine (no tables, no global state).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@numba.njit(inline="always")
def _hash(x: int, y: int, z: int, seed: int) -> Any:
    """A 32-bit mix of four integers (multiply, shift, xor)."""
    h = numba.uint32(x) * numba.uint32(0x8DA6B343)
    h ^= numba.uint32(y) * numba.uint32(0xD8163841)
    h ^= numba.uint32(z) * numba.uint32(0xCB1AB31F)
    h ^= numba.uint32(seed) * numba.uint32(0x9E3779B1)
    h = numba.uint32(h ^ (h >> numba.uint32(15))) * numba.uint32(0x2C1B3C6D)
    h = numba.uint32(h ^ (h >> numba.uint32(12))) * numba.uint32(0x297A2D39)
    return numba.uint32(h ^ (h >> numba.uint32(15)))


@numba.njit(inline="always")
def _corner(x: int, y: int, z: int, seed: int) -> Any:
    return numba.float32(_hash(x, y, z, seed) & numba.uint32(0xFFFF)) * numba.float32(
        2.0 / 65535.0
    ) - numba.float32(1.0)


@numba.njit(inline="always")
def _value(x: float, y: float, z: float, seed: int) -> float:
    """Value noise in [-1, 1]: trilinear, with a smoothstep fade."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    ix, iy, iz = int(fx), int(fy), int(fz)
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    low = (_corner(ix, iy, iz, seed) * (1 - u) + _corner(ix + 1, iy, iz, seed) * u) * (1 - v) + (
        _corner(ix, iy + 1, iz, seed) * (1 - u) + _corner(ix + 1, iy + 1, iz, seed) * u
    ) * v
    high = (_corner(ix, iy, iz + 1, seed) * (1 - u) + _corner(ix + 1, iy, iz + 1, seed) * u) * (1 - v) + (
        _corner(ix, iy + 1, iz + 1, seed) * (1 - u) + _corner(ix + 1, iy + 1, iz + 1, seed) * u
    ) * v
    return low * (1 - w) + high * w


@numba.njit(cache=True, nogil=True)
def _fbm(points: Float, frequency: Float, octaves: int, gain: float, seed: int) -> Float:
    out = np.empty(len(points), np.float32)
    total = 0.0
    amplitude = 1.0
    for _ in range(octaves):
        total += amplitude
        amplitude *= gain
    for i in range(len(points)):
        x, y, z = points[i, 0] * frequency[0], points[i, 1] * frequency[1], points[i, 2] * frequency[2]
        value, amplitude = 0.0, 1.0
        for octave in range(octaves):
            value += amplitude * _value(x, y, z, seed + 101 * octave)
            # Not exactly 2, so that the octaves' lattices do not line up.
            x, y, z = x * 2.03 + 17.3, y * 2.03 + 5.7, z * 2.03 + 11.1
            amplitude *= gain
        out[i] = value / total
    return out


@numba.njit(cache=True, nogil=True)
def _spots(points: Float, frequency: float, share: float, seed: int) -> Float:
    out = np.zeros(len(points), np.float32)
    threshold = numba.uint32(int(share * 65535.0))
    for i in range(len(points)):
        x, y, z = points[i, 0] * frequency, points[i, 1] * frequency, points[i, 2] * frequency
        # Centres lie within the middle 70 % of a cell and radii below 0.6, so eight cells suffice.
        ix, iy, iz = int(np.floor(x - 0.5)), int(np.floor(y - 0.5)), int(np.floor(z - 0.5))
        best = 0.0
        for k in range(8):
            cx, cy, cz = ix + (k & 1), iy + ((k >> 1) & 1), iz + (k >> 2)
            h = _hash(cx, cy, cz, seed)
            if (h & numba.uint32(0xFFFF)) >= threshold:
                continue
            g = _hash(cx, cy, cz, seed + 7919)
            px = cx + 0.15 + 0.7 * (g & numba.uint32(1023)) / 1023.0
            py = cy + 0.15 + 0.7 * ((g >> numba.uint32(10)) & numba.uint32(1023)) / 1023.0
            pz = cz + 0.15 + 0.7 * ((g >> numba.uint32(20)) & numba.uint32(1023)) / 1023.0
            size = 0.2 + 0.4 * ((h >> numba.uint32(16)) & numba.uint32(255)) / 255.0
            d2 = ((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) / (size * size)
            if d2 < 1.0:
                bump = (1.0 - d2) * (1.0 - d2)
                if bump > best:
                    best = bump
        out[i] = best
    return out


def fbm(
    points: Float,
    frequency: float | tuple[float, float, float],
    seed: int,
    octaves: int = 1,
    gain: float = 0.5,
) -> Float:
    """Fractal value noise.

    Args:
        points: (N, 3) float32 positions.
        frequency: Cells per unit of length, one number or one per axis (for strands).
        seed: Any integer; others give unrelated fields.
        octaves: Number of layers, each about twice as fine.
        gain: A layer's strength against the one before.

    Returns:
        (N,) float32 in [-1, 1], mean about 0, standard deviation about 0.3.
    """
    scale = np.broadcast_to(np.asarray(frequency, np.float32), (3,)).copy()
    return _fbm(np.ascontiguousarray(points, np.float32), scale, octaves, gain, seed & 0x7FFFFFFF)


def spots(points: Float, frequency: float, share: float, seed: int) -> Float:
    """Round spots of differing sizes, one at most in each cell of a lattice.

    Args:
        points: (N, 3) float32 positions.
        frequency: Cells per unit of length; a spot's radius is 0.2 to 0.6 of a cell.
        share: Of the cells that hold a spot, in [0, 1].
        seed: Any integer.

    Returns:
        (N,) float32 in [0, 1]: 1 in a spot's middle, 0 between spots.
    """
    share = float(np.clip(share, 0.0, 1.0))
    return _spots(np.ascontiguousarray(points, np.float32), frequency, share, seed & 0x7FFFFFFF)
