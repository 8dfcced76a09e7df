"""Silhouette antialiasing: blends across visible outlines and so gives them gradients.

After Laine et al., "Modular Primitives for High-Performance Differentiable Rendering" (2020): where
an outline crosses the line between two neighbouring pixel centres, the pixel whose half it enters or
leaves takes on part of the other's colour, in proportion to how far. Each row (or column) that a
steep (or flat) outline crosses counts once, so the sum over the image follows the true area.

Unlike there, we walk the outline edges and not the pixels: at prior resolution a head's triangles
are as small as pixels, and the triangle that a pixel sees seldom owns the edge that ends the surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .fragments import Fragments, rows


def antialias(image: Tensor, fragments: Fragments, clip: Tensor, triangles: Tensor) -> Tensor:
    """Blend `image` across its visible outlines.

    Args:
        image: (B, C, H, W), one value a pixel centre, background included.
        fragments: what `rasterize` gave for `clip`, `triangles`.
        clip: (B, V, 4); gradients of the outlines go here.
        triangles: (T, 3).

    Returns:
        (B, C, H, W), differentiable in `image` and `clip`. Values stay within those of the
        neighbouring pixels.
    """
    batch, channels, height, width = image.shape
    crossings = _crossings(fragments, clip, triangles.to(clip.device).long())
    if len(crossings.inner) == 0:
        return image
    flat = image.permute(0, 2, 3, 1).reshape(-1, channels)
    inner, outer, reach = crossings.inner, crossings.outer, crossings.reach
    # reach: how far the surface extends from the inner pixel centre towards the outer one, in [0, 1].
    grows = reach.detach() >= 0.5
    receiver = torch.where(grows, outer, inner)
    giver = torch.where(grows, inner, outer)
    weight = (reach - 0.5).abs()
    # Outlines on several sides of one pixel could ask for more than all of it.
    total = weight.new_zeros(flat.shape[0]).index_add(0, receiver, weight.detach())
    weight = weight / total.clamp(min=1)[receiver]
    change = weight[:, None].to(flat.dtype) * (flat[giver] - flat[receiver])
    return flat.index_add(0, receiver, change).view(batch, height, width, channels).permute(0, 3, 1, 2)


@dataclass
class _Crossings:
    """(K,) flat pixel indices on both sides of an outline, and the surface's reach between them."""

    inner: Tensor
    outer: Tensor
    reach: Tensor


def mesh_edges(triangles: Tensor) -> tuple[Tensor, Tensor]:
    """The edges of (T, 3) triangles.

    Returns:
        ends (E, 2) vertex indices, and sides (E, 2) the corner numbers (3 * triangle + corner) that
        lie opposite the edge; -1 as the second where the edge has not exactly two triangles.
    """
    ends = torch.stack([triangles.roll(-1, 1), triangles.roll(-2, 1)], -1).reshape(-1, 2)
    low, high = torch.minimum(*ends.unbind(1)), torch.maximum(*ends.unbind(1))
    key, order = torch.sort(low * (int(triangles.max()) + 1) + high, stable=True)
    begins = torch.ones_like(key, dtype=torch.bool)
    begins[1:] = key[1:] != key[:-1]
    start = begins.nonzero().squeeze(1)
    count = torch.diff(start, append=start.new_tensor([len(key)]))
    second = order[(start + 1).clamp(max=len(key) - 1)]
    sides = torch.stack([order[start], torch.where(count == 2, second, -1)], 1)
    return ends[order[start]], sides


def _crossings(fragments: Fragments, clip: Tensor, triangles: Tensor) -> _Crossings:
    _, height, width = fragments.mask.shape
    empty = triangles.new_zeros(0)
    if not len(triangles) or not len(fragments.covered):
        return _Crossings(empty, empty, clip.new_zeros(0))
    in_front = clip[..., 3].detach() > 1e-8
    depth_w = torch.where(in_front, clip[..., 3], 1)[..., None]
    scale = clip.new_tensor([width / 2, -height / 2])
    # (B, V, 2) places in pixel units, (0, 0) the top left pixel's centre.
    screen = clip[..., :2] / depth_w * scale + clip.new_tensor([width / 2 - 0.5, height / 2 - 0.5])
    depth = clip[..., 2].detach() / depth_w.detach().squeeze(-1)

    view, edge, third = _outline(screen.detach(), in_front, triangles)
    ends = edge + (view * clip.shape[1])[:, None]
    flat = screen.reshape(-1, 2)
    place = rows(flat, ends)  # (K, 2 ends, 2)
    spot = place.detach()
    steep = (spot[:, 1, 1] - spot[:, 0, 1]).abs() >= (spot[:, 1, 0] - spot[:, 0, 0]).abs()
    # Along the line that is counted (rows for steep edges, columns for flat ones) and across it.
    along = torch.where(steep[:, None], spot[..., 1], spot[..., 0])
    begin, end = (
        torch.minimum(*along.unbind(1)).ceil(),
        torch.maximum(*along.unbind(1)).ceil(),
    )  # half-open: joints count once
    lines_high = torch.where(steep, height, width).to(begin.dtype)
    begin, end = begin.clamp(min=0), torch.minimum(end, lines_high)
    count = (end - begin).clamp(min=0).long()
    which = torch.repeat_interleave(torch.arange(len(count), device=clip.device), count)
    if not len(which):
        return _Crossings(empty, empty, clip.new_zeros(0))
    nth = torch.arange(len(which), device=clip.device) - (count.cumsum(0) - count)[which]
    line = begin[which] + nth

    place, steep, view, third = (
        rows(place.flatten(1), which).view(-1, 2, 2),
        steep[which],
        view[which],
        third[which],
    )
    along = torch.where(steep[:, None], place[..., 1], place[..., 0])
    across = torch.where(steep[:, None], place[..., 0], place[..., 1])
    part = (line - along[:, 0]) / (along[:, 1] - along[:, 0])
    cross = across[:, 0] + part * (across[:, 1] - across[:, 0])

    # The surface lies on the side of the third corner.
    fixed = screen.detach().reshape(-1, 2)[third + view * clip.shape[1]]
    third_along = torch.where(steep, fixed[:, 1], fixed[:, 0])
    third_across = torch.where(steep, fixed[:, 0], fixed[:, 1])
    a, b = along.detach(), across.detach()
    on_line = b[:, 0] + (third_along - a[:, 0]) / (a[:, 1] - a[:, 0]) * (b[:, 1] - b[:, 0])
    inner_is_high = third_across > on_line

    low = cross.detach().floor()
    limit = torch.where(steep, width, height) - 1
    inside = (low >= 0) & (low < limit)
    stride_across = torch.where(steep, 1, width)
    stride_along = torch.where(steep, width, 1)
    low_pixel = view * height * width + line.long() * stride_along + low.long() * stride_across
    low_pixel = torch.where(inside, low_pixel, 0)
    high_pixel = torch.where(inside, low_pixel + stride_across, 0)
    inner = torch.where(inner_is_high, high_pixel, low_pixel)
    outer = torch.where(inner_is_high, low_pixel, high_pixel)
    reach = torch.where(inner_is_high, 1 - (cross - low), cross - low)

    edge_depth = depth.reshape(-1)[ends][which]
    edge_depth = edge_depth[:, 0] + part.detach() * (edge_depth[:, 1] - edge_depth[:, 0])
    ids = fragments.triangle_id.flatten()
    behind = _pixel_depth(fragments, clip.detach(), triangles, outer, view) > edge_depth
    keep = inside & (ids[inner] >= 0) & (ids[inner] != ids[outer]) & behind
    return _outermost(inner[keep], outer[keep], reach[keep])


def _outline(screen: Tensor, in_front: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(K,) image, (K, 2) ends and (K,) third corner of every edge where the surface may end."""
    ends, sides = mesh_edges(triangles)
    corners = screen[:, triangles]  # (B, T, 3, 2)
    u, v = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    facing = (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]) > 0
    # Open edges always end a surface; others do where one side faces us and the other does not.
    one, other = facing[:, sides[:, 0] // 3], facing[:, sides[:, 1].clamp(min=0) // 3]
    ending = (sides[:, 1] < 0) | (one != other)
    usable = in_front[:, triangles].all(2)[:, sides[:, 0] // 3]
    view, edge = (ending & usable).nonzero(as_tuple=True)
    return view, ends[edge], triangles.reshape(-1)[sides[edge, 0]]


def _pixel_depth(
    fragments: Fragments, clip: Tensor, triangles: Tensor, pixel: Tensor, view: Tensor
) -> Tensor:
    """z/w of what (K,) pixels see; infinite where they see nothing."""
    ids = fragments.triangle_id.flatten()[pixel].long()
    points = clip.reshape(-1, 4)[triangles[ids.clamp(min=0)] + (view * clip.shape[1])[:, None]]
    weights = fragments.barycentric.detach().reshape(-1, 3)[pixel]
    z, w = (points[..., 2] * weights).sum(1), (points[..., 3] * weights).sum(1)
    return torch.where(ids >= 0, z / torch.where(ids >= 0, w, 1), torch.inf)


def _outermost(inner: Tensor, outer: Tensor, reach: Tensor) -> _Crossings:
    """Of several edges between the same two pixels, only the one that reaches farthest is an outline."""
    order = torch.argsort(reach.detach(), stable=True)
    order = (
        order[torch.argsort(inner[order] * (int(outer.max()) + 1) + outer[order], stable=True)]
        if len(order)
        else order
    )
    inner, outer, reach = inner[order], outer[order], reach[order]
    last = torch.ones_like(inner, dtype=torch.bool)
    last[:-1] = (inner[1:] != inner[:-1]) | (outer[1:] != outer[:-1])
    return _Crossings(inner[last], outer[last], reach[last])
