"""The pseudo-albedo: a shaded render with the known light divided out again.

Under camera c and light l a pixel's radiance is L = a D + S: a its albedo, D the diffuse response
(what a white matt surface would send, falloff and colour of the light included), S the specular
lobe. The pseudo-albedo demodulates it by its own diffuse light,

    P = a + h,    h = max(S / (D + floor) - sheen, 0),

and is sRGB-encoded. `floor` is a share of the view's mean D and keeps the quotient finite where no
light falls; `sheen` is the quotient's median over the view, the even film of light that reads as
albedo and not as a highlight; h saturates smoothly. So:

- Shading never enters: a shadow in the render is no reason to darken the albedo, and none can be
  burnt in. Where no highlight lies, P = a exactly, under any light.
- The prior sees a picture of an albedo with highlights on it. What it says about a pixel is shared
  out: (1 - g) to the albedo and the rest to roughness and specular, with g = h / (h + 0.005), so that
  a highlight is not painted over in albedo either.

The lobe changes little while one round's views are fitted, so it is computed once a round and then
moves along its derivatives in roughness and specular (`Lobe`): fitting steps stay cheap.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

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
# A highlight of this linear strength shares a pixel's gradient evenly with the albedo.
SMALL_HIGHLIGHT = 0.005
# Step of the lobe's finite differences.
STEP = 0.02


@dataclass(frozen=True, eq=False)
class Views:
    """B views of one head: what does not change while the paint does. P pixels of them see the head.

    Attributes:
        surface: What each pixel sees, with UVs.
        lights: One set a view.
        view: (P,) int64, the view of each covered pixel.
        uv: (P, 2).
        normal, position: (P, 3), world.
        diffuse: (P, 3) D, the radiance of a white matt head under the lights.
        weight: (P, 1) in [0, 1], how much a pixel may teach: nothing on the head's outline (where a
            target's outline may lie elsewhere), less at grazing angles.
        row: (B,) int64, which map set a view wears.
    """

    surface: Surface
    lights: Lights
    view: Tensor
    uv: Tensor
    normal: Tensor
    position: Tensor
    diffuse: Tensor
    weight: Tensor
    row: Tensor

    def spread(self, values: Tensor) -> Tensor:
        """(P, C) values of all covered pixels -> (B, C, H, W), 0 elsewhere."""
        return self.surface.fragments.spread(values)

    def picture(self, values: Tensor) -> Tensor:
        """`spread`, antialiased: what a prior is shown."""
        return self.surface.finish(self.spread(values))

    def gather(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (P, C) at all covered pixels."""
        return _covered(image, self.surface)

    def take(self, pick: Tensor) -> Views:
        """Some of the P pixels; only the fields of pixels shrink, so pictures need the whole."""
        names = ("view", "uv", "normal", "position", "diffuse", "weight")
        return replace(self, **{name: getattr(self, name)[pick] for name in names})


@dataclass(frozen=True, eq=False)
class Film:
    """What the demodulation of a view needs to know of the whole view, (B, 1) each.

    Attributes:
        light: Mean of D.
        sheen: Median of S / (D + floor) at the material the film was measured at.
    """

    light: Tensor
    sheen: Tensor


@dataclass(frozen=True, eq=False)
class Lobe:
    """S / (D + floor) - sheen, (P, 3), about a roughness and a specular (P, 1) it was computed at."""

    value: Tensor
    per_roughness: Tensor
    per_specular: Tensor
    roughness: Tensor
    specular: Tensor

    def at(self, roughness: Tensor, specular: Tensor) -> Tensor:
        """(P, 1) each -> (P, 3), to first order; never negative."""
        moved = self.value + self.per_roughness * (roughness - self.roughness)
        return (moved + self.per_specular * (specular - self.specular)).clamp(min=0)


def look(
    vertices: Tensor,
    triangles: Tensor,
    triangle_uv: Tensor,
    cameras: Cameras,
    lights: Lights,
    size: int,
    row: Tensor | None = None,
) -> Views:
    """Rasterise (V, 3) or (B, V, 3) vertices from B cameras at size x size pixels; no gradients."""
    with torch.no_grad():
        surface = see(vertices, triangles, cameras, (size, size), triangle_uv)
        mask = surface.mask
        inner = 1 - torch.nn.functional.max_pool2d(1 - mask, 3, stride=1, padding=1)
        to_eye = surface.camera_position[:, :, None, None] - surface.position
        facing = torch.nn.functional.cosine_similarity(surface.normal, to_eye, dim=1)[:, None]
        weight = inner * (facing.clamp(min=0) * 2).clamp(max=1)
        assert surface.uv is not None
        views = Views(
            surface=surface,
            lights=lights,
            view=surface.fragments.covered_image,
            uv=_covered(surface.uv, surface),
            normal=_covered(surface.normal, surface),
            position=_covered(surface.position, surface),
            diffuse=_covered(torch.zeros_like(surface.normal), surface),
            weight=_covered(weight, surface),
            row=torch.zeros(len(mask), dtype=torch.int64, device=mask.device) if row is None else row,
        )
        matt = torch.zeros_like(views.weight)
        return replace(views, diffuse=_shade(torch.ones_like(views.normal), matt + 0.5, matt, views))


@torch.no_grad()
def film(material: Tensor, views: Views) -> Film:
    """Measured over all (P, 5) pixels."""
    rough, spec = material[:, ROUGHNESS, None], material[:, SPECULAR, None]
    light = torch.zeros(len(views.row), 1, device=material.device)
    whole = Film(light, torch.zeros_like(light))
    for k in range(len(light)):
        here = views.view == k
        if here.any():
            light[k] = views.diffuse[here].mean()
    glare = _quotient(rough, spec, views, whole)
    for k in range(len(light)):
        here = views.view == k
        if here.any():
            whole.sheen[k] = glare[here].mean(1).median()
    return whole


@torch.no_grad()
def lobe(material: Tensor, views: Views, whole: Film, moving: bool = True) -> Lobe:
    """The specular lobe at a (P, 5) material, and how it changes (not at all unless `moving`)."""
    rough, spec = material[:, ROUGHNESS, None].detach(), material[:, SPECULAR, None].detach()
    value = _quotient(rough, spec, views, whole)
    by_rough = by_spec = torch.zeros_like(value)
    if moving:
        # One-sided, away from the nearer bound.
        up = torch.where(rough < 0.5, STEP, -STEP)
        more = torch.where(spec < 0.5, STEP, -STEP)
        by_rough = (_quotient(rough + up, spec, views, whole) - value) / up
        by_spec = (_quotient(rough, spec + more, views, whole) - value) / more
    return Lobe(value - whole.sheen[views.view], by_rough, by_spec, rough, spec)


def _quotient(roughness: Tensor, specular: Tensor, views: Views, whole: Film) -> Tensor:
    black = torch.zeros_like(views.diffuse)
    divisor = views.diffuse + FLOOR * whole.light[views.view] + 1e-4
    return _shade(black, roughness, specular, views) / divisor


def pseudo_albedo(material: Tensor, highlight: Lobe) -> Tensor:
    """P of the module's docstring at (P, 5) pixels: (P, 3) sRGB in [0, 1]; differentiable."""
    glare = highlight.at(material[:, ROUGHNESS, None], material[:, SPECULAR, None])
    glare = CEILING * torch.tanh(glare / CEILING)
    share = (glare / (glare + SMALL_HIGHLIGHT)).detach()
    albedo = srgb_to_linear(material[:, ALBEDO])
    albedo = albedo.detach() * share + albedo * (1 - share)
    return linear_to_srgb((albedo + glare).clamp(0, 1))


@torch.no_grad()
def lit(material: Tensor, views: Views) -> Tensor:
    """(P, 5) material under the views' lights: (P, 3) sRGB, as an eye would see it."""
    albedo = srgb_to_linear(material[:, ALBEDO])
    light = _shade(albedo, material[:, ROUGHNESS, None], material[:, SPECULAR, None], views)
    return linear_to_srgb(light.clamp(0, 1))


def _shade(albedo: Tensor, roughness: Tensor, specular: Tensor, views: Views) -> Tensor:
    """(P, 3) radiance. Each pixel is its own batch entry, so that only covered pixels are shaded."""
    lights = views.lights
    own = Lights(
        **{f.name: getattr(lights, f.name).expand(len(views.row), -1, -1)[views.view] for f in fields(lights)}
    )
    return shade(
        albedo[..., None, None],
        views.normal[..., None, None],
        views.position[..., None, None],
        roughness[..., None, None],
        specular[..., None, None],
        views.surface.camera_position[views.view],
        own,
    )[..., 0, 0]


def _covered(image: Tensor, surface: Surface) -> Tensor:
    """(B, C, H, W) -> (P, C)."""
    flat = image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])
    return flat.index_select(0, surface.fragments.covered)
