"""Eyes and the mouth's inside: authored once, then only tinted.

A prior that sees a head at a few hundred pixels cannot paint an iris; it can say that eyes should be
bluer. So eye and mouth texels take no residual from `Psi_a` but one colour shift per kind.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..assets.anatomy import anatomy
from ..assets.eyes import eye_texels
from ..assets.texels import smoothstep, texels
from ..template import MOUTH, SKIN, HeadTemplate
from .atlas import Atlas
from .psi_a import CHANNELS, TINTS

# In logits; 1 moves a mid grey by about a quarter of its range.
TINT_LIMIT = 1.0


def tint_weights(template: HeadTemplate, atlas: Atlas) -> Tensor:
    """(N, len(TINTS)) float32 shares of each tint in every covered texel; skin has none."""
    weight = np.zeros((len(atlas.part), len(TINTS)), np.float32)
    weight[atlas.part == MOUTH, TINTS.index("mouth")] = 1.0
    table = texels(template, atlas.size)
    eyes = eye_texels(table, anatomy(template), table.interpolate(template.regions["eyeballs"]))
    iris = smoothstep(1.05, 0.95, eyes.radius / eyes.iris_m)
    weight[eyes.where, TINTS.index("iris")] = iris
    weight[eyes.where, TINTS.index("sclera")] = 1.0 - iris
    weight[atlas.part == SKIN] = 0.0
    return torch.from_numpy(weight)


def tint_residual(tints: Tensor, weights: Tensor) -> Tensor:
    """(len(TINTS), 3) raw albedo shifts, bounded here by a tanh, and (N, len(TINTS)) -> (N, 5)."""
    shift = weights @ (TINT_LIMIT * torch.tanh(tints / TINT_LIMIT))
    return torch.cat([shift, shift.new_zeros(len(shift), CHANNELS - 3)], 1)


def compose(skin_residual: Tensor, tints: Tensor, weights: Tensor, skin: Tensor) -> Tensor:
    """Residuals of all covered texels.

    Args:
        skin_residual: (B, S, 5) of the skin texels.
        tints, weights: See `tint_residual`.
        skin: (S,) int64, numbers of the skin texels among the N.

    Returns:
        (B, N, 5).
    """
    full = tint_residual(tints, weights).expand(len(skin_residual), -1, -1)
    return full.index_copy(1, skin, skin_residual)


def skin_texels(atlas: Atlas) -> Tensor:
    """(S,) int64: numbers of the covered texels that `Psi_a` paints."""
    return torch.from_numpy(np.flatnonzero(atlas.part == SKIN))
