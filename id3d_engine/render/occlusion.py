"""Which light reaches a vertex: ambient occlusion and soft shadows from parallel views."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .fragments import rows
from .normals import vertex_normals
from .visibility import visibility


@torch.no_grad()
def visible_from(vertices: Tensor, triangles: Tensor, directions: Tensor, size: int = 160) -> Tensor:
    """Whether each vertex sees the distance along each direction.

    Args:
        vertices: (V, 3) metres; triangles: (T, 3).
        directions: (N, 3) unit vectors.
        size: the shadow map's side; details under about 1.5 of its pixels are lost.

    Returns:
        (N, V) float, 0 or 1. Back-facing vertices count as hidden.
    """
    centre = (vertices.amin(0) + vertices.amax(0)) / 2
    radius = (vertices - centre).norm(dim=1).max().clamp(min=1e-9) * 1.02
    back = functional.normalize(directions, dim=-1)
    helper = torch.where(back[:, 2:].abs() < 0.9, back.new_tensor([0, 0, 1.0]), back.new_tensor([1.0, 0, 0]))
    right = functional.normalize(torch.linalg.cross(helper, back), dim=-1)
    up = torch.linalg.cross(back, right)
    # To a parallel camera's cube: x right, y up, z away from the light.
    rotation = torch.stack([right, up, -back], 1) / radius
    normal = vertex_normals(vertices, triangles)
    place = (vertices - centre) @ rotation.mT  # (N, V, 3)
    clip = torch.cat([place, torch.ones_like(place[..., :1])], -1)
    seen = visibility(clip, triangles, (size, size))
    texel = 2 / size
    # Ask a little off the surface: a facet must not shadow its own vertices.
    probe = place + (normal @ rotation.mT) * radius * (1.5 * texel)
    column = ((probe[..., 0] + 1) / texel).long().clamp(0, size - 1)
    row = ((1 - probe[..., 1]) / texel).long().clamp(0, size - 1)
    blocker = seen.flatten(1).gather(1, row * size + column).long()
    depth = _depth_at(place, triangles.to(vertices.device).long(), blocker.clamp(min=0), probe)
    lit = (blocker < 0) | (depth > probe[..., 2] - 0.5 * texel)
    return (lit & ((normal @ back.mT).T > 0)).to(vertices.dtype)


def ambient_occlusion(vertices: Tensor, triangles: Tensor, directions: int = 64, size: int = 160) -> Tensor:
    """(V, 1) cosine-weighted share of the sky that each vertex sees, in [0, 1]; for `shade`'s occlusion."""
    towards = _sphere(directions).to(vertices)
    cosine = (vertex_normals(vertices, triangles) @ towards.mT).T.clamp(min=0)
    open_sky = visible_from(vertices, triangles, towards, size)
    share = (cosine * open_sky).sum(0) / cosine.sum(0).clamp(min=1e-9)
    return share[:, None]


def interreflected(share: Tensor, albedo: Tensor) -> Tensor:
    """Share of the sky's light that arrives over other surfaces, too, for `shade`'s occlusion.

    V / (1 - albedo (1 - V)) for a share V of the sky that is seen: exact inside an integrating sphere, where
    every place sees the opening and the same wall. Without it teeth are as dark as the mouth around them.

    Args:
        share: (B, 1, H, W) V.
        albedo: (B, 3, H, W) linear, of the surfaces.

    Returns:
        (B, 3, H, W), from V to 1.
    """
    return share / (1 - albedo * (1 - share)).clamp(min=1e-6)


def soft_shadows(
    vertices: Tensor, triangles: Tensor, directions: Tensor, spread_deg: float = 6.0, samples: int = 12
) -> Tensor:
    """(V, D) share of each of (D, 3) directional lights that arrives; the lights are discs.

    Facing away is the shading's business: only vertices behind something are dark here.
    """
    count = len(directions)
    disc = torch.arange(samples, dtype=torch.float32) + 0.5
    angle = disc * (math.pi * (3 - math.sqrt(5)))
    reach = (disc / samples).sqrt() * math.radians(spread_deg)
    back = functional.normalize(directions, dim=-1)
    helper = torch.where(back[:, 2:].abs() < 0.9, back.new_tensor([0, 0, 1.0]), back.new_tensor([1.0, 0, 0]))
    right = functional.normalize(torch.linalg.cross(helper, back), dim=-1)
    up = torch.linalg.cross(back, right)
    offset = (reach * angle.cos()).to(back)[None, :, None] * right[:, None]
    offset = offset + (reach * angle.sin()).to(back)[None, :, None] * up[:, None]
    towards = functional.normalize(back[:, None] + offset, dim=-1).reshape(-1, 3)
    facing = (vertex_normals(vertices, triangles) @ towards.mT).T > 0
    lit = visible_from(vertices, triangles, towards).view(count, samples, -1)
    facing = facing.view(count, samples, -1).to(lit)
    share = lit.sum(1) / facing.sum(1).clamp(min=1)
    return torch.where(facing.sum(1) > 0, share, 1.0).T


def closer(
    arriving: Callable[[Tensor, Tensor], Tensor],
    far: Tensor,
    vertices: Tensor,
    triangles: Tensor,
    centre: Tensor,
    reach: float,
) -> Tensor:
    """What arrives, found again around a place: the shadow maps' pixels are as much smaller as it is.

    Args:
        arriving: From (V, 3) vertices and (T, 3) triangles to (V, C), such as `ambient_occlusion`.
        far: (V, C) the same for all vertices; what lies farther away than `reach` shades there alone.
        centre: (3,) metres.
        reach: Metres; from half of it on, the answer fades into `far`.

    Returns:
        (V, C).
    """
    distance = (vertices - centre).norm(dim=1)
    near = triangles[(distance < reach)[triangles].all(dim=1)]
    if not len(near):
        return far
    index, corner = torch.unique(near, return_inverse=True)
    share = (2 - 2 * distance[index] / reach).clamp(0, 1)[:, None]
    share = share * share * (3 - 2 * share)
    out = far.clone()
    out[index] += share * (arriving(vertices[index], corner) - far[index])
    return out


def _depth_at(place: Tensor, triangles: Tensor, blocker: Tensor, probe: Tensor) -> Tensor:
    """(N, V) depth of the blockers' planes at the probes' (x, y); (N, V, 3) places in view."""
    view = torch.arange(len(place), device=place.device)[:, None, None] * place.shape[1]
    corner = rows(place.reshape(-1, 3), triangles[blocker] + view)  # (N, V, 3 corners, 3)
    a, b, c = corner.unbind(2)
    normal = torch.linalg.cross(b - a, c - a)
    fall = (normal[..., :2] * (probe[..., :2] - a[..., :2])).sum(-1)
    depth = a[..., 2] - fall / torch.where(normal[..., 2] == 0, 1, normal[..., 2])
    # A grazing plane runs away beyond its triangle.
    return torch.minimum(torch.maximum(depth, corner[..., 2].amin(2)), corner[..., 2].amax(2))


def _sphere(count: int) -> Tensor:
    """(count, 3) evenly spread unit vectors (a Fibonacci lattice)."""
    index = torch.arange(count, dtype=torch.float32) + 0.5
    z = 1 - 2 * index / count
    angle = index * (math.pi * (3 - math.sqrt(5)))
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], -1)
