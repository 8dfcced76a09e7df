"""The template's texture space: what lies under each texel, once per template and size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..template import HeadTemplate, per_triangle

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Texels:
    """N covered texels of a (size, size) texture, row 0 on top.

    Attributes:
        size: Texels along a side.
        index: (N,) int64, flat indices row * size + column.
        gap: (G,) int64, flat indices of the texels that no face covers.
        nearest: (G,) int64, for each of those the position in `index` of the nearest covered texel.
        corners: (N, 3) int32, the vertices of the triangle under the texel.
        weights: (N, 3) float32, their barycentric weights.
        part: (N,) uint8, as in `HeadTemplate.part`.
        points: (N, 3) float32, positions on the mean head, metres.
        extent: (N,) float32, the longest side of a texel on the mean head, metres.
    """

    size: int
    index: NDArray[np.int64]
    gap: NDArray[np.int64]
    nearest: NDArray[np.int64]
    corners: NDArray[np.int32]
    weights: Float
    part: NDArray[np.uint8]
    points: Float
    extent: Float

    def interpolate(self, values: Float) -> Float:
        """Vertex values (V,) or (V, C) -> (N,) or (N, C) float32."""
        weights = self.weights if values.ndim == 1 else self.weights[..., None]
        return (values[self.corners] * weights).sum(axis=1, dtype=np.float32)

    def image(self, values: Float) -> Float:
        """(N,) or (N, C) texel values -> (size, size) or (size, size, C); gaps repeat the nearest texel,
        so that filtering and mip-mapping never see a background."""
        out = np.empty((self.size * self.size, *values.shape[1:]), np.float32)
        out[self.index] = values
        out[self.gap] = values[self.nearest]
        return out.reshape(self.size, self.size, *values.shape[1:])


@lru_cache(maxsize=4)
def texels(template: HeadTemplate, size: int) -> Texels:
    """Rasterise the UV layout; cached, since every texture of this size begins here."""
    import torch
    from scipy import ndimage

    from ..render.raster import rasterize

    flat = template.triangle_uv.reshape(-1, 2)
    clip = np.concatenate([2 * flat - 1, np.zeros_like(flat[:, :1]), np.ones_like(flat[:, :1])], axis=1)
    own = torch.arange(len(flat)).reshape(-1, 3)
    seen = rasterize(torch.from_numpy(clip.astype(np.float32))[None], own, (size, size), backend="cpu")
    index = seen.covered.numpy()
    triangle = seen.covered_triangle.numpy()
    weights = np.clip(seen.covered_weights.numpy(), 0.0, 1.0)
    weights /= weights.sum(axis=1, keepdims=True)
    mask = seen.mask[0].numpy()
    rows, columns = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    gap = np.flatnonzero(~mask)
    order = np.full(size * size, -1, np.int64)
    order[index] = np.arange(len(index))
    nearest = order[(rows * size + columns).reshape(-1)[gap]]
    corners = template.triangles[triangle]
    part = per_triangle(template.part)[triangle]
    points = (template.vertices[corners] * weights[..., None]).sum(axis=1, dtype=np.float32)
    extent = _stretch(template)[triangle] / size
    return Texels(size, index, gap, nearest, corners, weights.astype(np.float32), part, points, extent)


def _stretch(template: HeadTemplate) -> Float:
    """(T,) metres on the mean head for one unit of UV, in each triangle's most stretched direction."""
    corner = template.vertices[template.triangles].astype(np.float64)
    uv = template.triangle_uv.astype(np.float64)
    sides = np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], axis=2)
    flat = np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], axis=2)
    determinant = np.linalg.det(flat)
    good = np.abs(determinant) > 1e-12
    jacobian = sides[good] @ np.linalg.inv(flat[good])
    out = np.zeros(len(uv), np.float32)
    out[good] = np.linalg.svd(jacobian, compute_uv=False)[:, 0]
    return out


def smoothstep(low: ArrayLike, high: ArrayLike, x: ArrayLike) -> Float:
    """0 below `low`, 1 above `high`, smooth between; `low` may exceed `high` for a falling edge."""
    edge = np.asarray(low, np.float32)
    t = np.clip((np.asarray(x, np.float32) - edge) / (np.asarray(high, np.float32) - edge), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def bump(x: Float, middle: float | Float, width: float) -> Float:
    """A Gaussian bell of height 1 and standard deviation `width`."""
    return np.exp(-0.5 * np.square((x - middle) / width)).astype(np.float32)


def mixed(base: Float, colour: Float | tuple[float, ...], amount: Float) -> Float:
    """(N, 3) base moved towards a colour (3,) or (N, 3) by (N,) amounts in [0, 1]."""
    share = amount[:, None]
    return base + (np.asarray(colour, np.float32) - base) * share
