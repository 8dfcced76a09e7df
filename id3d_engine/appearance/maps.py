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

from ..template import SKIN
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


def skin_image(residual: Tensor, atlas: Atlas) -> Tensor:
    """(N, C) of an atlas's covered texels -> (C, size, size), each texel showing its nearest skin texel.

    Unlike `Atlas.image`, eyes and mouth leave nothing behind that could bleed into skin.
    """
    from scipy.ndimage import distance_transform_edt

    skin = np.flatnonzero(atlas.part == SKIN)
    number = np.full(atlas.size * atlas.size, -1, np.int64)
    number[atlas.texel.numpy()[skin]] = skin
    square = number.reshape(atlas.size, atlas.size)
    row, column = distance_transform_edt(square < 0, return_distances=False, return_indices=True)
    nearest = torch.from_numpy(square[row, column].reshape(-1))
    return residual[nearest].T.reshape(-1, atlas.size, atlas.size)


def compose_maps(start: Tensor, skin: Tensor, others: Tensor, atlas: Atlas) -> MapSet:
    """The start moved by the residual, at the atlas's size, dilated over the gaps between charts.

    Args:
        start: (5, T, T) of `pack`, T = atlas.size.
        skin: (5, R, R) residual of the skin at any size (`skin_image`), enlarged here bilinearly.
        others: (N, 5) residual of the atlas's texels, used where they are not skin.
    """
    large = torch.nn.functional.interpolate(
        skin[None], size=(atlas.size, atlas.size), mode="bilinear", align_corners=False
    )[0]
    is_skin = torch.from_numpy(atlas.part == SKIN)[:, None]
    residual = torch.where(is_skin, atlas.gather(large), others)
    full = atlas.image(apply_residual(atlas.gather(start), residual))
    return MapSet(
        albedo_srgb=np.ascontiguousarray(full[ALBEDO].permute(1, 2, 0).numpy()),
        roughness=full[ROUGHNESS].contiguous().numpy(),
        specular=full[SPECULAR].contiguous().numpy(),
    )
