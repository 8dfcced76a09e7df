"""Eyes and the mouth's inside: authored once, then only tinted.

A prior that sees a head at a few hundred pixels cannot paint an iris; it can say that eyes should be
bluer. So eye and mouth texels take no residual from `Psi_a` but one colour shift per kind.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..template import EYE, MOUTH, SKIN, HeadTemplate
from .atlas import Atlas
from .psi_a import CHANNELS, TINTS

# The iris' half angle seen from the eyeball's centre: 5.9 mm on a 12 mm radius.
IRIS_HALF_ANGLE_DEG = 29.5
# In logits; 1 moves a mid grey by about a quarter of its range.
TINT_LIMIT = 1.0


def tint_weights(template: HeadTemplate, atlas: Atlas) -> Tensor:
    """(N, len(TINTS)) float32 shares of each tint in every covered texel; skin has none."""
    position = atlas.rest
    weight = np.zeros((len(position), len(TINTS)), np.float32)
    weight[atlas.part == MOUTH, TINTS.index("mouth")] = 1.0
    for left in (True, False):
        texels = np.flatnonzero((atlas.part == EYE) & ((position[:, 0] > 0) == left))
        if len(texels):
            iris = _iris(position[texels])
            weight[texels, TINTS.index("iris")] = iris
            weight[texels, TINTS.index("sclera")] = 1.0 - iris
    return torch.from_numpy(weight)


def _iris(points: np.ndarray) -> np.ndarray:
    """(N,) 1 on the iris, 0 on the sclera, of one eyeball whose gaze is -Y."""
    low, high = points.min(0), points.max(0)
    centre = (low + high) / 2
    direction = points - centre
    direction /= np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9
    angle = np.degrees(np.arccos(np.clip(-direction[:, 1], -1, 1)))
    return np.clip((IRIS_HALF_ANGLE_DEG - angle) / 3.0 + 0.5, 0.0, 1.0).astype(np.float32)


def compose(skin_residual: Tensor, tints: Tensor, weights: Tensor, skin: Tensor) -> Tensor:
    """Residuals of all covered texels.

    Args:
        skin_residual: (B, S, 5) of the skin texels.
        tints: (len(TINTS), 3) raw albedo shifts, bounded here by a tanh.
        weights: (N, len(TINTS)) of `tint_weights`.
        skin: (S,) int64, numbers of the skin texels among the N.

    Returns:
        (B, N, 5).
    """
    shift = weights @ (TINT_LIMIT * torch.tanh(tints / TINT_LIMIT))
    full = torch.cat([shift, shift.new_zeros(len(shift), CHANNELS - 3)], 1)
    full = full.expand(len(skin_residual), -1, -1)
    return full.index_copy(1, skin, skin_residual)


def skin_texels(atlas: Atlas) -> Tensor:
    """(S,) int64: numbers of the covered texels that `Psi_a` paints."""
    return torch.from_numpy(np.flatnonzero(atlas.part == SKIN))
