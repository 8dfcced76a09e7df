"""The pseudo-albedo: a shaded render with the known light divided out again.

Under camera c and light l, a pixel's radiance is affine in its albedo a:

    L = a D + S,

D the diffuse response (what a white surface would send, shadow and falloff included) and S the
specular lobe. The pseudo-albedo is

    P = a + S / (D + floor),

sRGB-encoded: the render demodulated by its own diffuse light, plus what glare is left over. So

- dP/da = 1 whatever the light does. A shadow in the picture is not a reason to darken the albedo,
  and none can be burnt in.
- The prior sees a picture of an albedo with highlights, and what it objects to in a highlight moves
  roughness and specular. `floor` (a share of the mean D) and a soft ceiling keep S / D finite in shadow.
- Where nothing shines, P = a exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..render.cameras import Cameras
from ..render.lights import Lights
from ..render.shading import linear_to_srgb, shade, srgb_to_linear
from ..render.surface import Surface, see
from .psi_a import ALBEDO, ROUGHNESS, SPECULAR

# Share of a view's mean diffuse light that is added before dividing by it.
FLOOR = 0.5
# Glare saturates smoothly below this linear value.
CEILING = 0.5


@dataclass(frozen=True, eq=False)
class Views:
    """B views of one head: what does not change while the paint does.

    Attributes:
        surface: What each pixel sees, with UVs.
        lights: One set a view.
        diffuse: (B, 3, H, W) D, the radiance of a white matt head under the lights.
        weight: (B, 1, H, W) in [0, 1], how much a pixel may teach: nothing off the head and on its
            outline (where a target's outline may lie elsewhere), less at grazing angles.
        row: (B,) int64, which map set a view wears.
    """

    surface: Surface
    lights: Lights
    diffuse: Tensor
    weight: Tensor
    row: Tensor


def look(
    vertices: Tensor,
    triangles: Tensor,
    triangle_uv: Tensor,
    cameras: Cameras,
    lights: Lights,
    size: int,
    row: Tensor | None = None,
) -> Views:
    """Rasterise (V, 3) or (B, V, 3) vertices from B cameras at size x size pixels."""
    surface = see(vertices, triangles, cameras, (size, size), triangle_uv)
    matt = torch.zeros_like(surface.mask)
    diffuse = _shade(torch.ones_like(surface.normal), matt + 0.5, matt, surface, lights)
    to_eye = surface.camera_position[:, :, None, None] - surface.position
    facing = torch.nn.functional.cosine_similarity(surface.normal, to_eye, dim=1)[:, None].clamp(0, 1)
    inner = 1 - torch.nn.functional.max_pool2d(1 - surface.mask, 3, stride=1, padding=1)
    row = torch.zeros(len(facing), dtype=torch.int64) if row is None else row
    return Views(surface, lights, diffuse, inner * (facing * 2).clamp(max=1), row)


def pseudo_albedo(material: Tensor, views: Views) -> Tensor:
    """P of the module's docstring.

    Args:
        material: (B, 5, H, W) at the views' pixels: albedo sRGB, roughness, specular.

    Returns:
        (B, 3, H, W) sRGB in [0, 1], black off the head; not antialiased. Differentiable in material.
    """
    roughness, specular = material[:, ROUGHNESS, None], material[:, SPECULAR, None]
    black = torch.zeros_like(views.diffuse)
    lobe = _shade(black, roughness, specular, views.surface, views.lights)
    mask = views.surface.mask
    mean = (views.diffuse * mask).sum((1, 2, 3), keepdim=True) / (3 * mask.sum((1, 2, 3), keepdim=True) + 1)
    glare = CEILING * torch.tanh(lobe / (views.diffuse + FLOOR * mean + 1e-4) / CEILING)
    linear = srgb_to_linear(material[:, ALBEDO]) + glare
    return linear_to_srgb(linear.clamp(0, 1)) * mask


def _shade(albedo: Tensor, roughness: Tensor, specular: Tensor, surface: Surface, lights: Lights) -> Tensor:
    return shade(
        albedo,
        surface.normal,
        surface.position,
        roughness,
        specular,
        surface.camera_position,
        lights,
    )
