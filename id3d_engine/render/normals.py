"""Camera-space normal images, the geometry prior's input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .antialias import antialias
from .cameras import Cameras
from .fragments import rows
from .raster import interpolate, rasterize


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Unit normals, area-weighted: (V, 3) or (B, V, 3) -> the same shape; 0 at unused vertices."""
    faces = triangles.to(vertices.device).long()
    batched = vertices if vertices.dim() == 3 else vertices[None]
    count = batched.shape[1]
    offset = torch.arange(len(batched), device=vertices.device)[:, None, None] * count
    corner = (faces + offset).reshape(-1, 3)
    a, b, c = rows(batched.reshape(-1, 3), corner).unbind(1)
    area = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(batched).reshape(-1, 3)
    for k in range(3):
        total = total.index_add(0, corner[:, k], area)
    # A head's triangles are some 1e-6 m2: the default epsilon of normalize would be felt.
    return functional.normalize(total, dim=-1, eps=1e-20).view_as(vertices)


def render_normals(
    vertices: Tensor, triangles: Tensor, cameras: Cameras, size: tuple[int, int], backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Camera-space normals (n + 1) / 2 on black, and the mask, both antialiased.

    Args:
        vertices: (V, 3) or (B, V, 3), metres.
        triangles: (T, 3), counter-clockwise from outside.
        cameras: B of them.
        size: (H, W).

    Returns:
        image (B, 3, H, W) and mask (B, 1, H, W) in [0, 1]; gradients reach the vertices through
        the normals and through the silhouette.
    """
    clip = cameras.clip(vertices)
    fragments = rasterize(clip, triangles, size, backend)
    normals = vertex_normals(vertices, triangles)
    if normals.dim() == 2:
        normals = normals.expand(len(cameras), -1, -1)
    seen = interpolate(normals @ cameras.rotation.mT, triangles, fragments)
    seen = functional.normalize(seen, dim=1, eps=1e-6)
    mask = fragments.mask[:, None].to(seen.dtype)
    both = antialias(torch.cat([(0.5 * seen + 0.5) * mask, mask], 1), fragments, clip, triangles)
    return both[:, :3], both[:, 3:]
