"""What keeps a painted head a head where the prior is silent or noisy.

All losses read logit-space residuals of covered texels, (B, N, 5), and return one number. They are
means, so that a weight means the same at any grid size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..template import EYE, MOUTH, SKIN, HeadTemplate
from .atlas import Atlas
from .psi_a import ROUGHNESS, SPECULAR

# Region -> (roughness, specular) that its material is expected near, as the start's author has them.
# Specular is Blender's "Specular IOR Level": 0.5 is F0 = 4 %; skin's oily film is a little below.
SURFACE_PRIORS: dict[str, tuple[float, float]] = {
    "skin": (0.50, 0.46),
    "lips": (0.38, 0.52),
    "scalp": (0.52, 0.40),
    "ears": (0.48, 0.46),
    "neck": (0.54, 0.44),
    "eyelids": (0.48, 0.46),
}
EYE_PRIOR = (0.08, 0.50)
MOUTH_PRIOR = (0.25, 0.50)


def smoothness(residual: Tensor, atlas: Atlas) -> Tensor:
    """Mean squared difference between texels beside each other, per texel of the grid's side.

    Scaled by the grid's side, so that a ramp over a fixed distance costs the same on any grid.
    """
    a, b = residual[:, atlas.pairs[:, 0]], residual[:, atlas.pairs[:, 1]]
    return (a - b).square().mean() * (atlas.size / 128.0) ** 2


@dataclass(frozen=True, eq=False)
class MirrorPairs:
    """Texels (by number) and where each one's mirror image is, for the soft left-right symmetry."""

    here: Tensor
    there: Tensor


def mirror_pairs(template: HeadTemplate, atlas: Atlas) -> MirrorPairs:
    """Skin texels of one half of the head and the covered texel nearest to each one's mirror image.

    The mirror image of a texel is the same barycentric mix of the mirrored vertices; the texel
    nearest to it in space (on the rest head) stands for it.
    """
    from scipy.spatial import cKDTree

    vertices = np.asarray(template.vertices, np.float64)
    weights = atlas.points.weights.numpy()
    mirrored = np.asarray(template.mirror, np.int64)[atlas.points.vertices.numpy()]
    target = np.einsum("nkc,nk->nc", vertices[mirrored], weights)
    position = atlas.rest
    skin = np.flatnonzero(atlas.part == SKIN)
    here = skin[position[skin, 0] > 0]
    if not len(here):
        empty = torch.zeros(0, dtype=torch.int64)
        return MirrorPairs(empty, empty)
    distance, index = cKDTree(position[skin]).query(target[here])
    near = distance < 4 * np.median(distance) + 1e-6
    return MirrorPairs(torch.from_numpy(here[near]), torch.from_numpy(skin[index[near]]))


def symmetry(residual: Tensor, pairs: MirrorPairs) -> Tensor:
    """Mean squared difference of a texel's residual and its mirror image's."""
    if not len(pairs.here):
        return residual.sum() * 0.0
    return (residual[:, pairs.here] - residual[:, pairs.there]).square().mean()


def pull_to_start(residual: Tensor) -> Tensor:
    """Mean squared residual: zero at the start appearance."""
    return residual.square().mean()


def surface_prior(template: HeadTemplate, atlas: Atlas) -> Tensor:
    """(N, 2) float32: roughness and specular that each covered texel's region is expected near."""
    skin = np.array(SURFACE_PRIORS["skin"], np.float32)
    count = len(atlas.part)
    total = np.zeros((count, 1), np.float32)
    mix = np.zeros((count, 2), np.float32)
    corner, weight = atlas.points.vertices.numpy(), atlas.points.weights.numpy()
    for name, values in SURFACE_PRIORS.items():
        if name in template.regions:
            share = (np.asarray(template.regions[name])[corner] * weight).sum(1, keepdims=True)
            mix += share * np.array(values, np.float32)
            total += share
    out = (mix + np.clip(1.0 - total, 0.0, None) * skin) / np.maximum(total, 1.0)
    out[atlas.part == EYE] = EYE_PRIOR
    out[atlas.part == MOUTH] = MOUTH_PRIOR
    return torch.from_numpy(out.astype(np.float32))


def surface_loss(material: Tensor, expected: Tensor, spread: float = 0.1) -> Tensor:
    """Mean squared distance of roughness and specular from their region's values, in `spread`s.

    Args:
        material: (B, N, 5).
        expected: (N, 2) of `surface_prior`.
    """
    both = material[..., [ROUGHNESS, SPECULAR]]
    return ((both - expected) / spread).square().mean()
