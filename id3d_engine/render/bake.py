"""Maps over UV space: which texel sees which triangle, values per texel, and their margins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..errors import InputError
from .fragments import Fragments
from .raster import interpolate, rasterize


def uv_fragments(triangle_uv: Tensor, size: int) -> Fragments:
    """(T, 3, 2) UVs, v up -> fragments of one size x size image of texels, row 0 the top (v = 1)."""
    corners = triangle_uv.reshape(-1, 2)
    zero, one = torch.zeros_like(corners[:, :1]), torch.ones_like(corners[:, :1])
    clip = torch.cat([2 * corners - 1, zero, one], 1)[None]
    triangles = torch.arange(len(corners), dtype=torch.int32, device=corners.device).view(-1, 3)
    return rasterize(clip, triangles, (size, size))


def bake(
    evaluate: Callable[[Tensor], Tensor],
    vertices: Tensor,
    triangles: Tensor,
    fragments: Fragments,
    margin: int = 8,
    chunk: int = 65536,
) -> Tensor:
    """A field over the surface, as a texture.

    Args:
        evaluate: (N, 3) surface positions in metres -> (N, C) values.
        vertices: (V, 3); triangles: (T, 3), in the order of the UVs.
        fragments: from `uv_fragments`.
        margin: how many texels the charts grow beyond their borders.
        chunk: positions per call of `evaluate`, which bounds memory.

    Returns:
        (C, size, size) float, 0 beyond the margin.
    """
    image = interpolate(vertices, triangles, fragments)[0]
    positions = image.flatten(1).T[fragments.covered]
    if not len(positions):
        raise InputError("no texel is covered: check that the UVs lie in [0, 1]")
    values = torch.cat([evaluate(part) for part in positions.split(chunk)])
    return dilate(fragments.spread(values)[0], fragments.mask[0], margin)


def dilate(texture: Tensor, mask: Tensor, pixels: int) -> Tensor:
    """Continue (C, H, W) values to texels within `pixels` of the (H, W) bool mask: the nearest wins.

    Filtering at a chart's border reads beyond it; without a margin the background bleeds into the
    seams.
    """
    inside = mask.detach().cpu().numpy()
    if inside.all() or not inside.any():
        return texture
    distance, (row, column) = ndimage.distance_transform_edt(~inside, return_indices=True)
    reach = torch.from_numpy(np.asarray(distance <= pixels)).to(texture.device)
    source = torch.from_numpy(row.astype(np.int64) * inside.shape[1] + column).to(texture.device)
    grown = texture.flatten(1)[:, source.flatten()].view_as(texture)
    return torch.where(reach, grown, texture)
