"""Hair in pictures: strands as ribbons that face the camera, lit as fibres, shadowed by each other.

Shading after Kajiya and Kay, "Rendering Fur with Three Dimensional Textures" (1989): a fibre's light depends
on its tangent, as it has no normal; with the two shifted highlights of Scheuermann, "Practical Real-Time Hair
Rendering and Shading" (2004): a white one from the fibre's surface and a coloured one from within. Shadows
are absorption on the way to the light through a grid of how much hair there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .cameras import Cameras
from .color import linear_to_srgb, srgb_to_linear
from .lights import Lights, harmonics
from .visibility import visibility

VOXEL_M = 0.004
_MARCH = 9  # steps of one voxel towards a light
_ABSORBED = 0.55  # of the light that meets a fibre; the rest goes on
_WRAP = 0.35  # how far light reaches round the head through hair
_LOBES = ((-0.09, 70.0, 0.8), (0.13, 18.0, 0.9))  # shift towards the root, exponent, strength


@dataclass(frozen=True, eq=False)
class Hair:
    """Strands to draw: points (S, K, 3), radii (S, K) in metres, colours (S, 3) sRGB."""

    points: Tensor
    radius: Tensor
    colour: Tensor

    def thinned(self, keep: int) -> Hair:
        """Every `keep`-th strand, thicker, so that they cover nearly as much."""
        if keep <= 1:
            return self
        return Hair(self.points[::keep], self.radius[::keep] * keep**0.8, self.colour[::keep])

    @property
    def tangents(self) -> Tensor:
        """(S, K, 3) unit, from root to tip."""
        p = self.points
        ahead = torch.cat([p[:, 1:], 2 * p[:, -1:] - p[:, -2:-1]], 1)
        behind = torch.cat([2 * p[:, :1] - p[:, 1:2], p[:, :-1]], 1)
        return functional.normalize(ahead - behind, dim=-1, eps=1e-9)


class HairShade:
    """How much light gets through the hair, from a grid of its cross-section per volume."""

    def __init__(self, hair: Hair) -> None:
        from scipy import ndimage

        points = hair.points.numpy()
        self._low = points.reshape(-1, 3).min(0) - 3 * VOXEL_M
        cells = np.ceil((points.reshape(-1, 3).max(0) - self._low) / VOXEL_M).astype(int) + 3
        step = points[:, 1:] - points[:, :-1]
        length = np.linalg.norm(step, axis=2)
        area = length * 2 * hair.radius[:, :-1].numpy()
        grid = np.zeros(int(cells.prod()))
        pieces = max(1, round(float(np.percentile(length, 95)) / VOXEL_M))
        for k in range(pieces):
            cell = self._cell(points[:, :-1] + step * ((k + 0.5) / pieces), cells)
            grid += np.bincount(cell.ravel(), area.ravel() / pieces, len(grid))
        smooth = ndimage.gaussian_filter(grid.reshape(cells), 0.8) / VOXEL_M**3
        self._grid, self._cells = smooth.astype(np.float32).ravel(), cells

    def _cell(self, points: NDArray, cells: NDArray) -> NDArray[np.int64]:
        index = ((points - self._low) / VOXEL_M).astype(np.int64)
        index = np.clip(index, 0, cells - 1)
        return (index[..., 0] * cells[1] + index[..., 1]) * cells[2] + index[..., 2]

    def through(self, points: Tensor, towards: Tensor) -> Tensor:
        """(N,) share of light that reaches (N, 3) points from (3,) or (N, 3) unit directions."""
        place, ray = points.numpy(), towards.numpy() * VOXEL_M
        depth = np.zeros(len(place), np.float32)
        for k in range(_MARCH):
            depth += self._grid[self._cell(place + ray * (k + 1.0), self._cells)]
        return torch.from_numpy(np.exp(-_ABSORBED * VOXEL_M * depth))


def outward(points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """(N, 3) unit directions away from the segment between (3,) `low` and `high`: a head's rough normals."""
    axis = high - low
    share = (((points - low) @ axis) / axis.square().sum()).clamp(0, 1)
    return functional.normalize(points - (low + share[:, None] * axis), dim=-1, eps=1e-9)


def lit(hair: Hair, normal: Tensor, shade: HairShade, lights: Lights) -> list[Tensor]:
    """What does not depend on the camera: (S * K, 1) share of each directional light, then of the sky."""
    flat = hair.points.reshape(-1, 3)
    shares = [shade.through(flat, towards)[:, None] for towards in lights.directions[0]]
    return [*shares, shade.through(flat, normal)[:, None].sqrt()]


def shade_strands(
    hair: Hair, normal: Tensor, arriving: list[Tensor], lights: Lights, camera_position: Tensor
) -> Tensor:
    """(S * K, 3) sRGB of the strands' points, seen from a (3,) place; `arriving` from `lit`."""
    tangent, flat = hair.tangents.reshape(-1, 3), hair.points.reshape(-1, 3)
    albedo = srgb_to_linear(hair.colour)[:, None].expand(*hair.points.shape).reshape(-1, 3)
    to_eye = functional.normalize(camera_position - flat, dim=-1)
    # Deep inside, towards the roots, less light arrives than the grid can tell.
    along = torch.linspace(0, 1, hair.points.shape[1])
    buried = (0.55 + 0.45 * (along / 0.3).clamp(max=1)).expand(hair.points.shape[:2]).reshape(-1, 1)
    band = torch.tensor([math.pi] + [2 * math.pi / 3] * 3 + [math.pi / 4] * 5)
    sky = ((harmonics(normal) * band) @ lights.environment[0]).clamp(min=0)
    total = albedo / math.pi * sky * arriving[-1]
    for towards, power, share in zip(lights.directions[0], lights.irradiance[0], arriving, strict=False):
        facing = (((normal @ towards)[:, None] + _WRAP) / (1 + _WRAP)).clamp(0, 1)
        sine = (1 - (tangent @ towards).square()).clamp(min=0).sqrt()[:, None]
        half = functional.normalize(to_eye + towards, dim=-1, eps=1e-9)
        glint = torch.zeros_like(albedo)
        for shift, exponent, strength in _LOBES:
            bent = functional.normalize(tangent + shift * normal, dim=-1)
            dot = (bent * half).sum(-1, keepdim=True)
            lobe = (1 - dot.square()).clamp(min=1e-6).sqrt() ** exponent
            own = albedo if shift > 0 else 0.25 * torch.ones_like(albedo)
            glint = glint + strength * lobe * own
        total = total + power * share * facing * (albedo / math.pi * (0.35 + 0.65 * sine) + glint / math.pi)
    return linear_to_srgb((total * buried).clamp(0, 1))


def ribbons(hair: Hair, camera_position: Tensor, least_m: float) -> tuple[Tensor, Tensor]:
    """Flat bands towards a (3,) place, none narrower than `least_m` to a side.

    Returns:
        vertices (2 * S * K, 3), left and right of each point in turn, and triangles (T, 3).
    """
    to_eye = functional.normalize(camera_position - hair.points, dim=-1)
    across = functional.normalize(torch.linalg.cross(hair.tangents, to_eye), dim=-1, eps=1e-9)
    across = across * hair.radius.clamp(min=least_m)[..., None]
    vertices = torch.stack([hair.points - across, hair.points + across], 2).reshape(-1, 3)
    count, steps = hair.points.shape[:2]
    first = 2 * (torch.arange(count)[:, None] * steps + torch.arange(steps - 1)).reshape(-1, 1)
    quads = first + torch.tensor([[0, 1, 3, 0, 3, 2]])
    return vertices, quads.reshape(-1, 3)


def draw(
    hair: Hair, colour: Tensor, vertices: Tensor, triangles: Tensor, camera: Cameras, pixels: int, finer: int
) -> Tensor:
    """Strands before and behind a head, antialiased.

    Args:
        hair: What is drawn.
        colour: (S * K, 3) sRGB of its points.
        vertices, triangles: (V, 3) and (T, 3), the head that hides strands.
        camera: One.
        pixels: The picture's side.
        finer: Strands are looked for on this many times as many lines.

    Returns:
        (1, 4, pixels, pixels): sRGB times cover, and cover.
    """
    fine = pixels * finer
    eye = camera.position[0]
    distance = float((eye - hair.points.reshape(-1, 3).mean(0)).norm())
    metres = 2 * distance / float(camera.projection[0, 1, 1]) / fine
    bands, quads = ribbons(hair, eye, 0.5 * metres)
    # A strand finer than a line would cover too much: of brows and lashes only a share is drawn then.
    chance = torch.rand(len(hair.points), generator=torch.Generator().manual_seed(0))
    shown = chance * 0.5 * metres < hair.radius.mean(1)
    quads = quads.view(len(shown), -1, 3)[shown].flatten(0, 1)
    scene = torch.cat([vertices, bands])
    everything = torch.cat([triangles, quads + len(vertices)])
    seen = visibility(camera.clip(scene), everything, (fine, fine))[0].flatten()
    covered = (seen >= len(triangles)).nonzero().squeeze(1)
    corner = quads[seen[covered].long() - len(triangles), 0] // 2
    image = torch.zeros(fine * fine, 4)
    image[covered, :3] = 0.5 * (colour[corner] + colour[corner + 1])
    image[covered, 3] = 1.0
    return functional.avg_pool2d(image.T.reshape(1, 4, fine, fine), finer)
