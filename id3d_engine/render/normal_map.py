"""Tangent-space normal maps, +Y (OpenGL and Blender): green grows where the surface tilts to +v.

The frame follows MikkTSpace's rules, which Blender reads normal maps with: angle-weighted corner tangents,
shared by corners with the same vertex, UV and handedness, not made orthogonal per pixel, and
bitangent = sign * cross(normal, tangent).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .fragments import Fragments
from .normals import vertex_normals
from .raster import interpolate, interpolate_corners


def corner_tangents(vertices: Tensor, triangles: Tensor, triangle_uv: Tensor) -> Tensor:
    """(V, 3), (T, 3), (T, 3, 2) -> (T, 3, 4): unit tangent towards +u, and the bitangent's sign."""
    faces = triangles.long()
    corner = vertices[faces]
    normal = vertex_normals(vertices, faces)[faces]
    to_next, to_last = corner.roll(-1, 1) - corner, corner.roll(1, 1) - corner
    uv_next, uv_last = triangle_uv.roll(-1, 1) - triangle_uv, triangle_uv.roll(1, 1) - triangle_uv
    area = uv_next[..., 0] * uv_last[..., 1] - uv_next[..., 1] * uv_last[..., 0]
    sign = torch.where(area < 0, -1.0, 1.0).to(vertices.dtype)[..., None]
    along = (uv_last[..., 1:] * to_next - uv_next[..., 1:] * to_last) * sign
    along = along - normal * (normal * along).sum(-1, keepdim=True)
    a, b = functional.normalize(to_next, dim=-1, eps=1e-20), functional.normalize(to_last, dim=-1, eps=1e-20)
    angle = torch.arccos((a * b).sum(-1, keepdim=True).clamp(-1, 1))
    weighted = (functional.normalize(along, dim=-1, eps=1e-20) * angle).reshape(-1, 3)

    u, v = (triangle_uv.double() * 2**20).round().long().reshape(-1, 2).unbind(1)
    # One number of 20 + 21 + 21 + 1 bits a corner: rows of four take torch ten times as long.
    key = (((faces.reshape(-1) << 21 | u) << 21 | v) << 1) | (sign.reshape(-1) > 0).long()
    _, group = torch.unique(key, return_inverse=True)
    total = torch.zeros(int(group.max()) + 1, 3, dtype=vertices.dtype, device=vertices.device)
    total = total.index_add(0, group, weighted)
    tangent = functional.normalize(total, dim=-1, eps=1e-20)[group].view_as(corner)
    return torch.cat([tangent, sign], -1)


def encode(
    normals: Tensor, vertices: Tensor, triangles: Tensor, triangle_uv: Tensor, fragments: Fragments
) -> Tensor:
    """World-space normals (3, S, S) over the texels of `fragments` -> tangent-space map in [0, 1].

    (0.5, 0.5, 1) is the mesh's own smooth normal, and what uncovered texels get.
    """
    t, b, n = _frame(vertices, triangles, triangle_uv, fragments)
    basis = torch.stack([t, b, n], -1)  # columns
    # UVs without area have no tangent: leave their normals alone rather than divide by nothing.
    flat = torch.linalg.det(basis).abs() < 1e-3
    basis = torch.where(flat[:, None, None], torch.eye(3, dtype=basis.dtype, device=basis.device), basis)
    wanted = normals.flatten(1).T[fragments.covered]
    local = torch.linalg.solve(basis, wanted[..., None]).squeeze(-1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=local.dtype, device=local.device)
    local = torch.where(flat[:, None], up, functional.normalize(local, dim=-1))
    offset = fragments.spread(local - up)[0]
    return 0.5 * (offset + up[:, None, None]) + 0.5


def decode(
    normal_map: Tensor, vertices: Tensor, triangles: Tensor, triangle_uv: Tensor, fragments: Fragments
) -> Tensor:
    """The inverse of `encode`, and what a renderer does with the map: (3, S, S) world normals."""
    t, b, n = _frame(vertices, triangles, triangle_uv, fragments)
    local = normal_map.flatten(1).T[fragments.covered] * 2 - 1
    return fragments.spread(
        functional.normalize(local[:, :1] * t + local[:, 1:2] * b + local[:, 2:] * n, dim=-1)
    )[0]


def bump(
    height_m: Tensor, vertices: Tensor, triangles: Tensor, triangle_uv: Tensor, fragments: Fragments
) -> Tensor:
    """World-space normals (3, S, S) of the smooth surface displaced by a height texture (S, S).

    The surface gradient of Mikkelsen, "Bump Mapping Unparametrized Surfaces on the GPU" (2010).
    Heights should be dilated beyond the charts' borders. Metres.
    """
    faces = triangles.long()
    corner = vertices[faces]
    p1, p2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    q1, q2 = triangle_uv[:, 1] - triangle_uv[:, 0], triangle_uv[:, 2] - triangle_uv[:, 0]
    area = (q1[:, 0] * q2[:, 1] - q1[:, 1] * q2[:, 0])[:, None]
    area = torch.where(area.abs() < 1e-14, torch.full_like(area, torch.inf), area)
    per_u = ((q2[:, 1:] * p1 - q1[:, 1:] * p2) / area)[fragments.covered_triangle]
    per_v = ((q1[:, :1] * p2 - q2[:, :1] * p1) / area)[fragments.covered_triangle]

    size = height_m.shape[-1]
    padded = functional.pad(height_m[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    slope_u = (padded[1:-1, 2:] - padded[1:-1, :-2]) * (0.5 * size)
    slope_v = (padded[:-2, 1:-1] - padded[2:, 1:-1]) * (0.5 * size)  # rows run against v
    h_u = slope_u.flatten()[fragments.covered, None]
    h_v = slope_v.flatten()[fragments.covered, None]

    smooth = interpolate(vertex_normals(vertices, faces), faces, fragments)[0]
    n = functional.normalize(smooth.flatten(1).T[fragments.covered], dim=-1)
    r1, r2 = torch.linalg.cross(per_v, n), torch.linalg.cross(n, per_u)
    volume = (per_u * r1).sum(-1, keepdim=True)
    gradient = (h_u * r1 + h_v * r2) / torch.where(volume.abs() < 1e-20, torch.inf, volume)
    return fragments.spread(functional.normalize(n - gradient, dim=-1))[0]


def _frame(
    vertices: Tensor, triangles: Tensor, triangle_uv: Tensor, fragments: Fragments
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3) tangent, bitangent and normal at the covered texels."""
    tangents = corner_tangents(vertices, triangles, triangle_uv)
    t4 = interpolate_corners(tangents, fragments)[0].flatten(1).T[fragments.covered]
    smooth = interpolate(vertex_normals(vertices, triangles), triangles, fragments)[0]
    n = functional.normalize(smooth.flatten(1).T[fragments.covered], dim=-1)
    t = t4[:, :3]
    return t, t4[:, 3:] * torch.linalg.cross(n, t), n
