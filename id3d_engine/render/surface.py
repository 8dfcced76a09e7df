"""What the pixels of some cameras see of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .antialias import antialias
from .cameras import Cameras
from .fragments import Fragments
from .normals import vertex_normals
from .raster import interpolate, interpolate_corners, rasterize


@dataclass(frozen=True, eq=False)
class Surface:
    """What the pixels of B images see of a mesh: world normals and positions (B, 3, H, W), and UVs."""

    fragments: Fragments
    clip: Tensor
    triangles: Tensor
    normal: Tensor
    position: Tensor
    uv: Tensor | None
    camera_position: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, 1, H, W), 1 where something is seen; not antialiased."""
        return self.fragments.mask[:, None].to(self.normal.dtype)

    def finish(self, image: Tensor) -> Tensor:
        """Antialias (B, C, H, W) along the outlines."""
        return antialias(image, self.fragments, self.clip, self.triangles)


def see(
    vertices: Tensor,
    triangles: Tensor,
    cameras: Cameras,
    size: tuple[int, int],
    triangle_uv: Tensor | None = None,
    backend: str = "auto",
) -> Surface:
    """Rasterise (V, 3) or (B, V, 3) vertices, (T, 3) triangles, (T, 3, 2) UVs."""
    clip = cameras.clip(vertices)
    fragments = rasterize(clip, triangles, size, backend)
    values = torch.cat([vertex_normals(vertices, triangles), vertices], -1)
    seen = interpolate(values, triangles, fragments)
    normal = functional.normalize(seen[:, :3], dim=1, eps=1e-6)
    uv = None if triangle_uv is None else interpolate_corners(triangle_uv, fragments)
    return Surface(fragments, clip, triangles, normal, seen[:, 3:], uv, cameras.position)
