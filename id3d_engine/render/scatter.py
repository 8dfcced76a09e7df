"""The visibility kernel's mathematics in torch operations, for GPUs without nvdiffrast.

Every pixel centre within a triangle's bounding box is a candidate; those inside send their depth
and index, packed into one integer, to their pixel, where the smallest stays. A head's triangles are
some pixels small, so candidates are few. Sees exactly what `kernel.py` sees, whose comments give the
reasons: the same float64 expressions in the same order. Float64 rules Apple's GPUs out.
"""

from __future__ import annotations

import torch
from torch import Tensor

CANDIDATES = 1 << 21  # evaluated at a time: some 300 MB
NOTHING = torch.iinfo(torch.int64).max


def scatter_visibility(clip: Tensor, triangles: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, V, 4) clip coordinates, (T, 3) indices -> (B, H, W) int32 triangle indices, -1 for none.

    Works on the device of `clip`, without gradient.
    """
    (height, width), batch, count = size, len(clip), len(triangles)
    # The same pixel centres as in the kernel: NDC (sx * i + ox, sy * j + oy).
    sx, sy, ox, oy = 2.0 / width, -2.0 / height, 1.0 / width - 1.0, 1.0 - 1.0 / height
    corners = clip.detach().double()[:, triangles.to(clip.device).long()].flatten(0, 1)  # (B T, 3, 4)
    x, y, z, w = corners.unbind(-1)
    left, right, upper, lower = _bounds(x, y, w, size)

    a = y.roll(-1, 1) * w.roll(-2, 1) - w.roll(-1, 1) * y.roll(-2, 1)
    b = w.roll(-1, 1) * x.roll(-2, 1) - x.roll(-1, 1) * w.roll(-2, 1)
    c = x.roll(-1, 1) * y.roll(-2, 1) - y.roll(-1, 1) * x.roll(-2, 1)
    volume = a[:, 0] * x[:, 0] + b[:, 0] * y[:, 0] + c[:, 0] * w[:, 0]
    a, b, c = (torch.where(volume[:, None] < 0, -v, v) for v in (a, b, c))
    volume = volume.abs()
    owned = (a > 0) | ((a == 0) & (b > 0))
    plane = torch.stack(
        [(v[:, 0] * z[:, 0] + v[:, 1] * z[:, 1] + v[:, 2] * z[:, 2]) / volume for v in (a, b, c)], 1
    )

    wide, high = (right - left + 1).clamp(min=0), (lower - upper + 1).clamp(min=0)
    many = wide * high * (torch.isfinite(volume) & (volume != 0))
    nearest = torch.full((batch * height * width,), NOTHING, device=clip.device)
    ends = many.cumsum(0)
    total, first = int(ends[-1]), 0
    while first < total:
        last = min(first + CANDIDATES, total)
        number = torch.arange(first, last, device=clip.device)
        # Which triangle a candidate belongs to, and its place in that triangle's box.
        k = torch.searchsorted(ends, number, right=True)
        place = number - (ends[k] - many[k])
        row = torch.div(place, wide[k], rounding_mode="floor")
        i, j = left[k] + place - row * wide[k], upper[k] + row
        px, py = (sx * i + ox)[:, None], (sy * j + oy)[:, None]
        edge = a[k] * px + (b[k] * py + c[k])
        inside = ((edge > 0) | ((edge == 0) & owned[k])).all(1)
        across, down, base = plane[k].unbind(1)
        depth = across * px[:, 0] + (down * py[:, 0] + base)
        inside &= (depth >= -1) & (depth <= 1)
        k, i, j, depth = k[inside], i[inside], j[inside], depth[inside]
        pixel = (torch.div(k, count, rounding_mode="floor") * height + j) * width + i
        nearest.scatter_reduce_(0, pixel, _key(depth, k % count), "amin")
        first = last
    found = torch.where(nearest == NOTHING, -1, nearest & 0xFFFFFFFF)
    return found.to(torch.int32).view(batch, height, width)


def _bounds(x: Tensor, y: Tensor, w: Tensor, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """(N,) int64 first and last column, first and last row; empty where nothing can be seen."""
    height, width = size
    sx, sy, ox, oy = 2.0 / width, -2.0 / height, 1.0 / width - 1.0, 1.0 - 1.0 / height
    in_front = (w > 0).all(1)
    u, v = x / w, y / w
    seen = (u.amax(1) >= -1) & (u.amin(1) <= 1) & (v.amax(1) >= -1) & (v.amin(1) <= 1)
    left = ((u.amin(1).clamp(min=-1) - ox) / sx - 1e-6).ceil().clamp(min=0)
    right = ((u.amax(1).clamp(max=1) - ox) / sx + 1e-6).floor().clamp(max=width - 1)
    upper = ((v.amax(1).clamp(max=1) - oy) / sy - 1e-6).ceil().clamp(min=0)
    lower = ((v.amin(1).clamp(min=-1) - oy) / sy + 1e-6).floor().clamp(max=height - 1)
    # A triangle that crosses the eye's plane may lie anywhere; one behind it, or broken, nowhere.
    whole = (w > 0).any(1) & ~in_front
    drawn = whole | (in_front & seen)
    boxes = ((left, 0), (right, width - 1), (upper, 0), (lower, height - 1))
    first_column, last_column, first_row, last_row = (
        torch.where(whole, torch.full_like(box, everything), torch.where(drawn, box, 0.0)).long()
        for box, everything in boxes
    )
    return first_column, torch.where(drawn, last_column, -1), first_row, last_row


def _key(depth: Tensor, triangle: Tensor) -> Tensor:
    """One int64 that orders by float32 depth and then by index."""
    bits = (depth.float() + 0.0).view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return (ordered.long() << 32) | triangle
