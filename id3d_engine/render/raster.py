"""Rasterisation, interpolation and texture lookup, in plain differentiable torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from .antialias import antialias
from .fragments import Fragments, rows
from .visibility import visibility

__all__ = ["Fragments", "antialias", "interpolate", "interpolate_corners", "rasterize", "sample_texture"]


def rasterize(clip: Tensor, triangles: Tensor, size: tuple[int, int], backend: str = "auto") -> Fragments:
    """Visibility, and perspective-correct barycentrics that carry gradients to `clip`.

    Args:
        clip: (B, V, 4) clip coordinates, float32 or float64.
        triangles: (T, 3) vertex indices.
        size: (H, W).
        backend: see `visibility`.
    """
    height, width = size
    triangle_id = visibility(clip, triangles, size, backend)
    mask = triangle_id >= 0
    pixel = mask.flatten().nonzero().squeeze(1)
    image = pixel // (height * width)
    within = pixel % (height * width)
    corner = triangles.to(clip.device).long()[triangle_id.flatten()[pixel].long()]
    points = rows(clip.reshape(-1, 4), corner + image[:, None] * clip.shape[1])
    x = ((within % width) + 0.5).to(clip.dtype) * (2 / width) - 1
    y = 1 - (torch.div(within, width, rounding_mode="floor") + 0.5).to(clip.dtype) * (2 / height)
    # Seen from the pixel: moving the origin first keeps small triangles accurate in float32.
    px = points[..., 0] - x[:, None] * points[..., 3]
    py = points[..., 1] - y[:, None] * points[..., 3]
    qx, qy, rx, ry = px.roll(-1, 1), py.roll(-1, 1), px.roll(-2, 1), py.roll(-2, 1)
    volume = qx * ry - qy * rx
    total = volume.sum(1, keepdim=True)
    weights = volume / torch.where(total == 0, torch.ones_like(total), total)
    dense = clip.new_zeros(mask.numel(), 3).index_copy(0, pixel, weights)
    fragments = Fragments(triangle_id, dense.view(*mask.shape, 3), mask)
    # The compact forms are at hand: keep them rather than gather them again.
    fragments.__dict__["covered"] = pixel
    fragments.__dict__["covered_weights"] = weights
    return fragments


def interpolate(attributes: Tensor, triangles: Tensor, fragments: Fragments) -> Tensor:
    """Vertex attributes (V, C) or (B, V, C) at every pixel -> (B, C, H, W), 0 where nothing is seen."""
    corner = triangles.to(attributes.device).long()[fragments.covered_triangle]
    if attributes.dim() == 3:
        corner = corner + fragments.covered_image[:, None] * attributes.shape[1]
    values = rows(attributes.reshape(-1, attributes.shape[-1]), corner)
    return fragments.spread((values * fragments.covered_weights[..., None]).sum(1))


def interpolate_corners(attributes: Tensor, fragments: Fragments) -> Tensor:
    """Attributes of triangle corners (T, 3, C), such as UVs, at every pixel -> (B, C, H, W)."""
    values = attributes[fragments.covered_triangle]
    return fragments.spread((values * fragments.covered_weights[..., None]).sum(1))


def sample_texture(texture: Tensor, uv: Tensor) -> Tensor:
    """Bilinear texture lookup, v up; here v meets the texture's rows, of which row 0 is the top.

    Args:
        texture: (C, T, T) or (B, C, T, T). Texel (r, c) has its centre at u = (c + 0.5) / T,
            v = 1 - (r + 0.5) / T; beyond the outer centres the border repeats.
        uv: (B, 2, H, W).

    Returns:
        (B, C, H, W), differentiable in both.

    Raises:
        InputError: the batches differ.
    """
    if texture.dim() == 3:
        texture = texture.expand(uv.shape[0], -1, -1, -1)
    if texture.shape[0] != uv.shape[0]:
        raise InputError(f"{texture.shape[0]} textures for {uv.shape[0]} images: give one, or one an image")
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], -1)
    return functional.grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=False)
