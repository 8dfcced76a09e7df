"""Lights in world space: directional, point, and a smooth environment as spherical harmonics."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import InputError

PRESETS = ("front", "back", "direct", "diffuse", "studio")


@dataclass(frozen=True, eq=False)
class Lights:
    """All light on a scene. Batch B is 1 (shared by all images) or the number of images.

    Attributes:
        directions: (B, D, 3) unit vectors towards distant lights.
        irradiance: (B, D, 3) linear RGB that each puts on a surface facing it. A white Lambert
            surface facing irradiance pi has radiance 1, which shows as white.
        positions: (B, P, 3) of point lights, metres.
        intensity: (B, P, 3) linear RGB; irradiance on a facing surface is intensity / distance^2.
        environment: (B, 9, 3) radiance as real spherical harmonics to l = 2, in the order of
            `harmonics`.
    """

    directions: Tensor
    irradiance: Tensor
    positions: Tensor
    intensity: Tensor
    environment: Tensor

    def __add__(self, other: Lights) -> Lights:
        """Both lights together."""

        def both(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            batch = max(len(a), len(b))
            return a.expand(batch, -1, -1), b.expand(batch, -1, -1)

        joined = {f.name: both(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        environment = torch.stack(joined.pop("environment")).sum(0)
        return Lights(environment=environment, **{k: torch.cat(v, 1) for k, v in joined.items()})

    def to(self, device: torch.device | str) -> Lights:
        return Lights(*(getattr(self, f.name).to(device) for f in fields(self)))


def _none(batch: int = 1) -> dict[str, Tensor]:
    empty = torch.zeros(batch, 0, 3)
    return {
        "directions": empty,
        "irradiance": empty,
        "positions": empty,
        "intensity": empty,
        "environment": torch.zeros(batch, 9, 3),
    }


def _batched(values: Tensor | list | tuple) -> Tensor:
    tensor = torch.as_tensor(values, dtype=torch.float32)
    return tensor.reshape(1, -1, 3) if tensor.dim() < 3 else tensor


def directional(directions: Tensor | list | tuple, irradiance: Tensor | list | tuple) -> Lights:
    """Distant lights: directions towards them and RGB irradiance, (3,), (D, 3) or (B, D, 3)."""
    towards = functional.normalize(_batched(directions), dim=-1)
    return Lights(**(_none(len(towards)) | {"directions": towards, "irradiance": _batched(irradiance)}))


def point(positions: Tensor | list | tuple, intensity: Tensor | list | tuple) -> Lights:
    """Point lights: positions in metres and RGB intensity, (3,), (P, 3) or (B, P, 3)."""
    places = _batched(positions)
    return Lights(**(_none(len(places)) | {"positions": places, "intensity": _batched(intensity)}))


def uniform(radiance: Tensor | list | tuple | float) -> Lights:
    """The same radiance from everywhere, a number or RGB (3,) or (B, 3)."""
    value = torch.as_tensor(radiance, dtype=torch.float32)
    value = value.expand(1, 3) if value.dim() < 2 else value
    coefficients = torch.zeros(len(value), 9, 3)
    coefficients[:, 0] = value * (2 * math.sqrt(math.pi))
    return Lights(**(_none(len(value)) | {"environment": coefficients}))


def environment_map(radiance: Tensor) -> Lights:
    """A latitude-longitude map (H, W, 3) or (B, H, W, 3) of linear radiance, as harmonics to l = 2.

    Row 0 is the zenith (+Z); column 0 starts behind the head (+Y), the middle column is what the
    face looks at (-Y), the head's own left (+X) comes after it. Only the smooth part survives: add
    a `directional` light for a sun.
    """
    maps = radiance if radiance.dim() == 4 else radiance[None]
    height, width = maps.shape[1:3]
    polar = (torch.arange(height, dtype=torch.float32) + 0.5) * (math.pi / height)
    azimuth = (torch.arange(width, dtype=torch.float32) + 0.5) * (2 * math.pi / width) - math.pi
    p, a = torch.meshgrid(polar, azimuth, indexing="ij")
    towards = torch.stack([p.sin() * a.sin(), -p.sin() * a.cos(), p.cos()], -1)
    area = p.sin() * (math.pi / height) * (2 * math.pi / width)
    weights = harmonics(towards) * area[..., None]
    coefficients = torch.einsum("hwk,bhwc->bkc", weights.to(maps), maps)
    return Lights(**(_none(len(maps)) | {"environment": coefficients}))


def harmonics(direction: Tensor) -> Tensor:
    """Real orthonormal spherical harmonics to l = 2 of unit vectors (..., 3) -> (..., 9).

    Order: 1; y, z, x; xy, yz, 3z^2 - 1, xz, x^2 - y^2 (Ramamoorthi and Hanrahan 2001, "An Efficient
    Representation for Irradiance Environment Maps").
    """
    x, y, z = direction.unbind(-1)
    return torch.stack(
        [
            torch.full_like(x, 0.5 / math.sqrt(math.pi)),
            *(math.sqrt(3 / (4 * math.pi)) * v for v in (y, z, x)),
            *(math.sqrt(15 / (4 * math.pi)) * v for v in (x * y, y * z)),
            math.sqrt(5 / (16 * math.pi)) * (3 * z * z - 1),
            math.sqrt(15 / (4 * math.pi)) * x * z,
            math.sqrt(15 / (16 * math.pi)) * (x * x - y * y),
        ],
        -1,
    )


def preset(name: str) -> Lights:
    """A named light on a head that looks to -Y.

    front: a soft key from the camera's side; back: two rims and little else; direct: one hard light
    from the upper left; diffuse: an overcast sky; studio: key, fill and rim, for previews.

    Raises:
        InputError: an unknown name.
    """
    if name not in PRESETS:
        raise InputError(f"unknown light {name!r}: choose one of {', '.join(PRESETS)}")
    if name == "front":
        return directional([[0.0, -1.0, 0.35]], [[2.4, 2.35, 2.3]]) + uniform(0.25)
    if name == "back":
        rims = directional([[0.8, 0.9, 0.5], [-0.8, 0.9, 0.5]], [[3.6, 3.4, 3.2], [3.2, 3.4, 3.6]])
        return rims + uniform(0.06)
    if name == "direct":
        return directional([[0.75, -0.65, 0.7]], [[3.4, 3.3, 3.1]]) + uniform(0.05)
    if name == "diffuse":
        sky = torch.linspace(1.1, 0.45, 16).reshape(16, 1, 1) * torch.tensor([0.97, 1.0, 1.04])
        return environment_map(sky.expand(16, 32, 3))
    key = directional([[0.7, -1.0, 0.8]], [[2.0, 1.93, 1.85]])
    fill = directional([[-1.0, -0.8, 0.1]], [[0.55, 0.6, 0.68]])
    rim = directional([[-0.5, 1.0, 0.7]], [[1.3, 1.3, 1.3]])
    return key + fill + rim + uniform(0.22)


def sample_lights(count: int, generator: torch.Generator) -> Lights:
    """Random everyday light, one for each of `count` images: an ambient gradient, a key and a fill."""

    def rand(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    azimuth = torch.stack([rand(-100, 100), rand(-180, 180)], 1).deg2rad()
    elevation = torch.stack([rand(-5, 65), rand(-20, 60)], 1).deg2rad()
    towards = torch.stack(
        [azimuth.sin() * elevation.cos(), -azimuth.cos() * elevation.cos(), elevation.sin()], -1
    )
    strength = torch.stack([rand(0.4, 2.6), rand(0.0, 0.9)], 1)
    warmth = rand(-0.16, 0.16, 2)
    tint = torch.stack([1 + warmth, torch.ones_like(warmth), 1 - warmth], -1)
    lamps = directional(towards, strength[..., None] * tint)
    ambient = uniform(rand(0.12, 0.55, 1) * (1 + rand(-0.06, 0.06, 3)))
    # A gradient of up to half the mean, mostly from above.
    slope = torch.stack([rand(-0.5, 0.5), rand(-0.1, 0.8), rand(-0.5, 0.5)], 1)
    ambient.environment[:, 1:4] = ambient.environment[:, :1] * slope[..., None] * 0.5
    return lamps + ambient
