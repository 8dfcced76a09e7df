"""A textured head under light: visibility, maps and shading in one call."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .antialias import antialias
from .cameras import Cameras
from .color import linear_to_srgb, srgb_to_linear
from .fragments import Fragments
from .lights import Lights
from .normals import vertex_normals
from .raster import interpolate, interpolate_corners, rasterize, sample_texture
from .shading import shade


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


def render_shaded(
    surface: Surface,
    albedo_srgb: Tensor,
    roughness: Tensor,
    specular: Tensor,
    lights: Lights,
    *,
    background_srgb: Tensor | float = 0.0,
    occlusion: Tensor | None = None,
    visible: Tensor | None = None,
    wrap: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Shade a surface with textures.

    Args:
        surface: from `see`, with UVs.
        albedo_srgb: (3, T, T) or (B, 3, T, T), sRGB-encoded; roughness, specular: (1, T, T) or
            (B, 1, T, T).
        background_srgb: a number, or anything that broadcasts to (B, 3, H, W).
        occlusion, visible, wrap: see `shade`.

    Returns:
        image (B, 3, H, W) sRGB-encoded in [0, 1], and mask (B, 1, H, W); antialiased.
    """
    if surface.uv is None:
        raise ValueError("render_shaded needs a surface seen with triangle_uv")
    uv = surface.uv
    linear = shade(
        srgb_to_linear(sample_texture(albedo_srgb, uv)),
        surface.normal,
        surface.position,
        sample_texture(roughness, uv),
        sample_texture(specular, uv),
        surface.camera_position,
        lights,
        occlusion=occlusion,
        visible=visible,
        wrap=wrap,
    )
    mask = surface.mask
    image = linear_to_srgb(linear.clamp(0, 1)) * mask + background_srgb * (1 - mask)
    both = surface.finish(torch.cat([image, mask], 1))
    return both[:, :3], both[:, 3:]
