"""What keeps a distilled surface smooth and its field a signed distance. Each returns a scalar.

On the surface: `normal_consistency`, `laplacian`. On the field: `eikonal`,
`sign_crossing`, `field_smoothness`, `pull_to_start`. The field's are cheaper and act on a regular
grid; the surface's see what the renderer sees. All are free of units (lengths are measured in
`scale_m`, usually the grid's cell), so weights survive a change of resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .tet_grid import TetGrid, gather


def inner_edges(triangles: Tensor) -> tuple[Tensor, Tensor]:
    """Edges that exactly two of the triangles (T, 3) share.

    Returns:
        ends (E, 2) vertex indices and sides (E, 2) triangle indices.
    """
    ends = torch.stack([triangles, triangles.roll(-1, dims=1)], dim=2).reshape(-1, 2)
    low, high = ends.min(dim=1).values, ends.max(dim=1).values
    size = int(triangles.max()) + 1 if len(triangles) else 1
    key, order = torch.sort(low * size + high, stable=True)
    same = torch.nonzero(key[1:] == key[:-1]).squeeze(1)
    lonely = torch.ones(len(same), dtype=torch.bool, device=same.device)
    thrice = torch.diff(same) == 1  # three triangles at one edge: no two of them belong together
    lonely[1:] &= ~thrice
    lonely[:-1] &= ~thrice
    same = same[lonely]
    return ends[order[same]], torch.stack([order[same] // 3, order[same + 1] // 3], dim=1)


def normal_consistency(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Mean over inner edges of 1 - cos(angle between both normals), weighted by edge length.

    In [0, 2]; 0 for a plane. The weight keeps the slivers of marching tetrahedra from counting as
    much as whole triangles. Vertices (V, 3), triangles (T, 3).
    """
    if len(triangles) == 0:
        return vertices.sum() * 0
    a, b, c = gather(vertices, triangles).unbind(dim=1)
    normals = functional.normalize(torch.linalg.cross(b - a, c - a), dim=1, eps=1e-12)
    ends, sides = inner_edges(triangles)
    length = (vertices[ends[:, 0]] - vertices[ends[:, 1]]).detach().norm(dim=1)
    bend = 1 - gather(normals, sides).prod(dim=1).sum(dim=1)
    return (bend * length).sum() / length.sum().clamp(min=1e-12)


def laplacian(vertices: Tensor, triangles: Tensor, scale_m: float = 1.0) -> Tensor:
    """Mean squared distance of each vertex from its neighbours' mean, in units of scale_m squared.

    Uniform weights; vertices on an open rim are left out (their mean lies inside the surface).
    """
    if len(triangles) == 0:
        return vertices.sum() * 0
    start = triangles.reshape(-1)
    end = triangles.roll(-1, dims=1).reshape(-1)
    # Each inner edge appears once in each direction, so one direction sums over all neighbours.
    total = torch.zeros_like(vertices).index_add(0, start, gather(vertices, end))
    ones = torch.ones(len(start), dtype=vertices.dtype, device=vertices.device)
    degree = torch.zeros_like(vertices[:, 0]).index_add(0, start, ones)
    inside = degree > 0
    inside[_rim(start, end)] = False
    if not inside.any():
        return vertices.sum() * 0
    offset = vertices - total / degree.clamp(min=1)[:, None]
    return (offset.square().sum(dim=1) * inside).sum() / inside.sum() / scale_m**2


def field_gradient(grid: TetGrid, positions: Tensor, sdf: Tensor) -> Tensor:
    """(T, 3): the gradient of the linear interpolant of `sdf` (V,) in each tetrahedron.

    Solves (p_i - p_0) . g = s_i - s_0, i = 1..3, by the cross products of the edges.
    """
    p, s = gather(positions, grid.tets), gather(sdf, grid.tets)
    e1, e2, e3 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0], p[:, 3] - p[:, 0]
    d = s[:, 1:] - s[:, :1]
    n1, n2, n3 = torch.linalg.cross(e2, e3), torch.linalg.cross(e3, e1), torch.linalg.cross(e1, e2)
    volume = (e1 * n1).sum(dim=1, keepdim=True)
    return (d[:, :1] * n1 + d[:, 1:2] * n2 + d[:, 2:] * n3) / volume


def eikonal(grid: TetGrid, positions: Tensor, sdf: Tensor) -> Tensor:
    """Mean of (|gradient| - 1)^2 over the tetrahedra: 0 for a signed distance."""
    gradient = field_gradient(grid, positions, sdf)
    return (gradient.square().sum(dim=1).add(1e-12).sqrt() - 1).square().mean()


def sign_crossing(grid: TetGrid, sdf: Tensor, scale_m: float) -> Tensor:
    """Binary cross entropy of either end of each crossed edge against the other end's side.

    Discourages surfaces that nothing asks for. The logit is sdf / scale_m. 0 where nothing crosses.
    """
    start, end = gather(sdf, grid.edges).unbind(dim=1)
    cut = (start < 0) != (end < 0)
    if not cut.any():
        return sdf.sum() * 0
    cut = torch.nonzero(cut).squeeze(1)
    start, end = gather(start, cut) / scale_m, gather(end, cut) / scale_m
    bce = functional.binary_cross_entropy_with_logits
    return bce(start, (end > 0).to(sdf)) + bce(end, (start > 0).to(sdf))


def field_smoothness(grid: TetGrid, values: Tensor, scale_m: float) -> Tensor:
    """Mean squared difference along the grid's edges, for values (V,) or (V, C): a ripple's cost.

    In units of (scale_m / cell)^2: for a linear field of slope g it is about (g cell / scale_m)^2 / 3.
    """
    start, end = gather(values, grid.edges).unbind(dim=1)
    difference = start - end
    return difference.square().mean() / scale_m**2


def pull_to_start(residual: Tensor, scale_m: float) -> Tensor:
    """Mean squared residual in units of scale_m squared."""
    return residual.square().mean() / scale_m**2


def _rim(start: Tensor, end: Tensor) -> Tensor:
    """Vertices on directed edges that have no opposite."""
    if len(start) == 0:
        return start
    size = int(torch.maximum(start.max(), end.max())) + 1
    lonely = ~torch.isin(start * size + end, end * size + start)
    return torch.unique(torch.cat([start[lonely], end[lonely]]))
