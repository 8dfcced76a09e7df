"""Shading: Lambert under a GGX microfacet coat, as Blender's Principled BSDF has it for skin."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .color import linear_to_srgb, srgb_to_linear
from .lights import Lights, harmonics

__all__ = ["brdf", "linear_to_srgb", "shade", "srgb_to_linear"]

MIN_ROUGHNESS = 0.045  # below it the highlight of a point source is a spike that no pixel resolves
EPS = 1e-4
WRAP_RGB = (1.0, 0.45, 0.25)  # how far light travels in skin: red about four times as far as blue


def shade(
    albedo_linear: Tensor,
    normal: Tensor,
    position: Tensor,
    roughness: Tensor,
    specular: Tensor,
    camera_position: Tensor,
    lights: Lights,
    *,
    visible: Tensor | None = None,
    occlusion: Tensor | None = None,
    wrap: float = 0.0,
) -> Tensor:
    """The light that each pixel sends to its camera.

    Args:
        albedo_linear: (B, 3, H, W) linear, in [0, 1].
        normal: (B, 3, H, W) unit, world space; turned to the viewer where it faces away.
        position: (B, 3, H, W) world, metres.
        roughness: (B, 1, H, W) perceptual, in [0, 1]; GGX alpha is its square.
        specular: (B, 1, H, W) Blender's "Specular IOR Level": reflectance at normal incidence is
            0.08 * specular, so 0.5 is the usual 4 %, and 0 is a pure Lambert surface.
        camera_position: (B, 3).
        lights: B of them, or one for all.
        visible: (B, D, H, W) share of each directional light that arrives (shadows), or None.
        occlusion: (B, 1 or 3, H, W) share of the environment that arrives, or None.
        wrap: 0 for Lambert. Above 0, diffuse light reaches round the terminator by that cosine,
            red farthest, and is renormalised: a cheap stand-in for subsurface scattering.

    Returns:
        (B, 3, H, W) linear radiance, not clamped. Differentiable in every tensor.
    """
    n, p = normal.permute(0, 2, 3, 1), position.permute(0, 2, 3, 1)
    albedo = albedo_linear.permute(0, 2, 3, 1)
    rough, spec = roughness.permute(0, 2, 3, 1), specular.permute(0, 2, 3, 1)
    to_eye = functional.normalize(camera_position[:, None, None] - p, dim=-1)
    n = torch.where((n * to_eye).sum(-1, keepdim=True) < 0, -n, n)

    total = _environment(albedo, n, to_eye, rough, spec, lights.environment[:, None, None])
    if occlusion is not None:
        total = total * occlusion.permute(0, 2, 3, 1)
    for k in range(lights.directions.shape[1]):
        towards = lights.directions[:, None, None, k]
        power = lights.irradiance[:, None, None, k]
        if visible is not None:
            power = power * visible[:, k, :, :, None]
        total = total + power * _lit(albedo, n, to_eye, towards.expand_as(n), rough, spec, wrap)
    for k in range(lights.positions.shape[1]):
        offset = lights.positions[:, None, None, k] - p
        square = offset.square().sum(-1, keepdim=True).clamp(min=1e-6)
        power = lights.intensity[:, None, None, k] / square
        total = total + power * _lit(albedo, n, to_eye, offset / square.sqrt(), rough, spec, wrap)
    return total.permute(0, 3, 1, 2)


def brdf(
    albedo: Tensor, normal: Tensor, to_eye: Tensor, to_light: Tensor, roughness: Tensor, specular: Tensor
) -> tuple[Tensor, Tensor]:
    """Diffuse (..., 3) and specular (..., 1) reflectance per steradian; unit vectors (..., 3).

    Specular: GGX (Walter et al. 2007) with height-correlated Smith visibility (Heitz 2014) and
    Schlick's Fresnel. Diffuse: Lambert under what the coat lets in and out again, so that the two
    together reflect no more than arrives. Both are reciprocal.
    """
    n_l = (normal * to_light).sum(-1, keepdim=True).clamp(EPS, 1)
    n_v = (normal * to_eye).sum(-1, keepdim=True).clamp(EPS, 1)
    half = functional.normalize(to_eye + to_light, dim=-1)
    n_h = (normal * half).sum(-1, keepdim=True).clamp(0, 1)
    v_h = (to_eye * half).sum(-1, keepdim=True).clamp(0, 1)
    a2 = roughness.clamp(min=MIN_ROUGHNESS) ** 4
    spread = a2 / (math.pi * (n_h * n_h * (a2 - 1) + 1) ** 2)
    smith = 0.5 / (n_l * (n_v * n_v * (1 - a2) + a2).sqrt() + n_v * (n_l * n_l * (1 - a2) + a2).sqrt())
    f0, f90 = reflectance(specular)
    diffuse = albedo / math.pi * (1 - _schlick(f0, f90, n_l)) * (1 - _schlick(f0, f90, n_v))
    return diffuse, spread * smith * _schlick(f0, f90, v_h)


def reflectance(specular: Tensor) -> tuple[Tensor, Tensor]:
    """F0 = 0.08 * specular, and F90: 1, but fading out below F0 = 0.02 so that 0 means no coat."""
    f0 = 0.08 * specular
    return f0, (50 * f0).clamp(max=1)


def _schlick(f0: Tensor, f90: Tensor, cosine: Tensor) -> Tensor:
    return f0 + (f90 - f0) * (1 - cosine) ** 5


def _lit(
    albedo: Tensor,
    normal: Tensor,
    to_eye: Tensor,
    to_light: Tensor,
    roughness: Tensor,
    specular: Tensor,
    wrap: float,
) -> Tensor:
    """Radiance per unit of irradiance on a facing surface."""
    diffuse, coat = brdf(albedo, normal, to_eye, to_light, roughness, specular)
    cosine = (normal * to_light).sum(-1, keepdim=True)
    if not wrap:
        return (diffuse + coat) * cosine.clamp(min=0)
    # (cos + w) / (1 + w)^2 down to cos = -w has the same total over all directions as cos.
    reach = wrap * torch.tensor(WRAP_RGB, device=normal.device, dtype=normal.dtype)
    soft = ((cosine + reach) / (1 + reach)).clamp(0, 1)
    f0, f90 = reflectance(specular)
    n_v = (normal * to_eye).sum(-1, keepdim=True).clamp(EPS, 1)
    passed = (1 - _schlick(f0, f90, n_v)) * (1 - _schlick(f0, f90, soft))
    return albedo / math.pi * passed * soft / (1 + reach) + coat * cosine.clamp(min=0)


def _environment(
    albedo: Tensor, normal: Tensor, to_eye: Tensor, roughness: Tensor, specular: Tensor, radiance: Tensor
) -> Tensor:
    """Light from the (B, 1, 1, 9, 3) environment.

    Diffuse is exact for l <= 2 (bands times pi, 2 pi / 3, pi / 4). Specular is the split sum: radiance
    blurred by the lobe, bands times exp(-(alpha l)^2 / 2) (Ramamoorthi and Hanrahan 2001, "A
    Signal-Processing Framework for Inverse Rendering", with Beckmann's width), times the lobe's
    total reflectance in Karis's fit ("Physically Based Shading on Mobile", 2014).
    """
    band = torch.tensor([0, 1, 1, 1, 2, 2, 2, 2, 2], device=normal.device)
    cosine = torch.tensor([math.pi, 2 * math.pi / 3, math.pi / 4], device=normal.device)[band]
    irradiance = ((harmonics(normal) * cosine)[..., None] * radiance).sum(-2).clamp(min=0)
    n_v = (normal * to_eye).sum(-1, keepdim=True).clamp(EPS, 1)
    mirror = 2 * n_v * normal - to_eye
    blur = torch.exp(-0.5 * (roughness**2 * band).square())
    seen = ((harmonics(mirror) * blur)[..., None] * radiance).sum(-2).clamp(min=0)
    coat = _total_reflectance(n_v, roughness, specular)
    return albedo / math.pi * irradiance * (1 - coat) + seen * coat


def _total_reflectance(n_v: Tensor, roughness: Tensor, specular: Tensor) -> Tensor:
    f0, f90 = reflectance(specular)
    falling, base = 1 - roughness, 0.0425 - 0.0275 * roughness
    edge = torch.minimum(falling * falling, torch.exp2(-9.28 * n_v)) * falling + base
    scale = -1.04 * edge + 1.04 - 0.572 * roughness
    bias = 1.04 * edge - 0.04 + 0.022 * roughness
    return (f0 * scale + f90 * bias).clamp(0, 1)
