"""The template's charts at one texture size: which texels exist and which surface point each one is.

Row 0 of a texture is its top (v = 1). A texel belongs to a chart if its centre does; every other
texel shows its nearest chart texel (distance transform), so that bilinear lookups and mip levels
never see an empty colour at a seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..assets.texels import texels
from ..template import HeadTemplate
from .psi_a import SurfacePoints


@dataclass(frozen=True, eq=False)
class Atlas:
    """N covered texels of a `size` x `size` texture.

    Attributes:
        texel: (N,) int64, row * size + column.
        points: The N surface points.
        part: (N,) uint8: SKIN, EYE or MOUTH.
        rest: (N, 3) float32, positions on the template, metres.
        nearest: (size * size,) int64, for every texel the covered texel it shows, in 0 .. N - 1.
        pairs: (P, 2) int64, covered texels beside each other within a chart, each pair once.
    """

    size: int
    texel: Tensor
    points: SurfacePoints
    part: NDArray[np.uint8]
    rest: NDArray[np.float32]
    nearest: Tensor
    pairs: Tensor

    def image(self, values: Tensor) -> Tensor:
        """(..., N, C) values of the covered texels -> (..., C, size, size), dilated everywhere."""
        full = values.movedim(-1, -2)[..., self.nearest]
        return full.reshape(*full.shape[:-1], self.size, self.size)

    def gather(self, image: Tensor) -> Tensor:
        """(..., C, size, size) -> (..., N, C): the inverse of `image` on covered texels."""
        return image.flatten(-2)[..., self.texel].movedim(-1, -2)

    def positions(self, vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """(V, 3) vertices -> (N, 3) float32 surface points."""
        corners = np.asarray(vertices, np.float32)[self.points.vertices.numpy()]
        return np.einsum("nkc,nk->nc", corners, self.points.weights.numpy())


@lru_cache(maxsize=4)
def make_atlas(template: HeadTemplate, size: int) -> Atlas:
    """The charts of `template` at `size` x `size` texels (kept: templates are immutable)."""
    table = texels(template, size)
    number = np.full(size * size, -1, np.int64)
    number[table.index] = np.arange(len(table.index))
    pairs = _neighbours(number.reshape(size, size), table.points, table.part)
    nearest = number
    nearest[table.gap] = table.nearest
    return Atlas(
        size=size,
        texel=torch.from_numpy(table.index),
        points=SurfacePoints(
            torch.from_numpy(table.corners.astype(np.int64)), torch.from_numpy(table.weights)
        ),
        part=table.part,
        rest=table.points,
        nearest=torch.from_numpy(nearest),
        pairs=torch.from_numpy(pairs),
    )


def _neighbours(
    number: NDArray[np.int64], position: NDArray[np.float32], part: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Texels beside each other that are beside each other on the surface too."""
    across = np.stack([number[:, :-1], number[:, 1:]], -1).reshape(-1, 2)
    down = np.stack([number[:-1], number[1:]], -1).reshape(-1, 2)
    pairs = np.concatenate([across, down])
    pairs = pairs[(pairs >= 0).all(1)]
    if not len(pairs):
        return pairs
    length = np.linalg.norm(position[pairs[:, 0]] - position[pairs[:, 1]], axis=1)
    # Charts packed without a gap touch in the texture but not on the head.
    near = length <= 6 * np.median(length)
    return pairs[near & (part[pairs[:, 0]] == part[pairs[:, 1]])]


def resize(image: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """(T, T) or (T, T, C) -> the same at `size`: area average down, bilinear up."""
    array = np.asarray(image, np.float32)
    planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(array).transpose(2, 0, 1)))[None]
    if size < array.shape[0]:
        planes = torch.nn.functional.interpolate(planes, size=(size, size), mode="area")
    elif size > array.shape[0]:
        planes = torch.nn.functional.interpolate(
            planes, size=(size, size), mode="bilinear", align_corners=False
        )
    out = planes[0].permute(1, 2, 0).numpy()
    return out[..., 0] if array.ndim == 2 else out
