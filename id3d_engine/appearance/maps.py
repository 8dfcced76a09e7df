"""The finished maps of one head, as plain arrays.

Residuals are painted on a coarse grid; the maps keep the fine detail of the authored start, because
the residual moves the start in logit space and never replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .atlas import Atlas, resize
from .psi_a import ALBEDO, ROUGHNESS, SPECULAR, apply_residual

Float = NDArray[np.float32]


class Material(Protocol):
    """What a texture author gives (`assets.appearance.Textures`), row 0 on top.

    Attributes:
        albedo_srgb: (T, T, 3) float32 in [0, 1].
        roughness: (T, T) float32 in [0.05, 1].
        specular: (T, T) float32 in [0, 1].
    """

    @property
    def albedo_srgb(self) -> Float: ...
    @property
    def roughness(self) -> Float: ...
    @property
    def specular(self) -> Float: ...


@dataclass(frozen=True, eq=False)
class MapSet:
    """One expression's maps: albedo sRGB (T, T, 3), roughness and specular (T, T), float32 in [0, 1]."""

    albedo_srgb: Float
    roughness: Float
    specular: Float


@dataclass(frozen=True, eq=False)
class Maps:
    """All maps of one head.

    Attributes:
        albedo_srgb: (T, T, 3) float32 in [0, 1], sRGB-encoded.
        roughness: (T, T) float32 in [0.05, 1], perceptual (GGX alpha is its square).
        specular: (T, T) float32 in [0, 1]; 0.5 is F0 = 4 %.
        normal: (T, T, 3) float32 in [0, 1], tangent space, +Y, (n + 1) / 2.
        sets: expression -> its own maps, of at most 1024 texels a side; empty unless asked for.
    """

    albedo_srgb: Float
    roughness: Float
    specular: Float
    normal: Float
    sets: Mapping[str, MapSet] = field(default_factory=dict)


def pack(material: Material, size: int) -> Tensor:
    """Textures at any size -> (5, size, size) float32: albedo sRGB, roughness, specular."""
    planes = [
        resize(material.albedo_srgb, size),
        resize(material.roughness, size)[..., None],
        resize(material.specular, size)[..., None],
    ]
    return torch.from_numpy(np.concatenate(planes, -1).transpose(2, 0, 1).copy())


def upsample(residual: Tensor, size: int) -> Tensor:
    """(C, R, R) residual of a dilated grid -> (C, size, size), bilinear, texel centres aligned."""
    return torch.nn.functional.interpolate(
        residual[None], size=(size, size), mode="bilinear", align_corners=False
    )[0]


def compose_maps(start: Tensor, residual: Tensor, atlas: Atlas) -> MapSet:
    """The start moved by the residual, at the atlas's size, dilated over the gaps between charts.

    Args:
        start: (5, T, T) of `pack`, T = atlas.size.
        residual: (5, R, R) at any grid size, dilated.
    """
    material = apply_residual(atlas.gather(start), atlas.gather(upsample(residual, atlas.size)))
    full = atlas.image(material)
    return MapSet(
        albedo_srgb=np.ascontiguousarray(full[ALBEDO].permute(1, 2, 0).numpy()),
        roughness=full[ROUGHNESS].contiguous().numpy(),
        specular=full[SPECULAR].contiguous().numpy(),
    )
