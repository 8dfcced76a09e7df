"""`Psi_a(k_exp^a)`: a transformer from one latent set per expression to albedo, roughness, specularity.

The field lives on the template's surface, not in the texture: what a texel gets depends on the rest
position of its surface point, on features interpolated from the template's vertices, and on the
expression's latents. Two texels on either side of a UV seam are one surface point, so they get one
value, whatever the charts look like.

How a point is evaluated:

1. A few hundred anchors, spread over the template by farthest-point sampling, are the transformer's
   tokens. They attend to each other and read the expression's latents (cross-attention).
2. Anchor outputs spread to the template's vertices (normalised Gaussians over the nearest anchors),
   where small learned features add what anchors are too coarse for.
3. Vertex values spread to the queried points by barycentric weights, join Fourier features of the
   rest position, and a two-layer network gives five residuals.

The residuals are added to the start in logit space, so that every map stays within its bounds, and
the last layer starts at zero, so that step 0 *is* the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..template import HeadTemplate

# Channels of a residual and of a packed material.
ALBEDO, ROUGHNESS, SPECULAR = slice(0, 3), 3, 4
CHANNELS = 5
ROUGHNESS_RANGE = (0.05, 1.0)
# Logits of the start are clipped here, so that a start of exactly 0 or 1 can still move.
LOGIT_LIMIT = 5.0


@dataclass(frozen=True)
class PsiAConfig:
    """Size of the network; the defaults take about 0.02 s a forward pass on one CPU core."""

    anchors: int = 192
    width: int = 96
    heads: int = 4
    blocks: int = 2
    latents: int = 8
    """Tokens in one expression's latent set."""
    vertex_features: int = 8
    neighbours: int = 6
    """Anchors that reach a vertex."""
    bands: int = 3
    """Octaves of the Fourier features; the highest repeats about every 3 cm."""


@dataclass(frozen=True)
class SurfacePoints:
    """N points on the template: `vertices` (N, 3) int64 and their barycentric `weights` (N, 3)."""

    vertices: Tensor
    weights: Tensor

    def interpolate(self, values: Tensor) -> Tensor:
        """(..., V, C) values at the vertices -> (..., N, C) at the points."""
        if values.dim() > 2:
            return torch.stack([self.interpolate(v) for v in values])
        # One table row a corner and index_select: by far the fastest backward on CPUs.
        corners = values.index_select(0, self.vertices.reshape(-1)).view(*self.vertices.shape, -1)
        return (corners * self.weights[..., None]).sum(-2)


class PsiA(nn.Module):
    """The appearance field of K expressions on one template.

    Args:
        template: Only its rest vertices and regions are read.
        expressions: K >= 1; row 0 is the neutral.
        generator: Draws the initial weights.
    """

    _spread: Tensor
    _fixed: Tensor
    _anchor_inputs: Tensor

    def __init__(
        self,
        template: HeadTemplate,
        expressions: int,
        generator: torch.Generator,
        config: PsiAConfig | None = None,
    ) -> None:
        super().__init__()
        config = config or PsiAConfig()
        rest = np.asarray(template.vertices, np.float64)
        anchors = farthest_points(rest, min(config.anchors, len(rest)))
        spread = _spread(rest, rest[anchors], config.neighbours)
        self.register_buffer("_spread", torch.from_numpy(spread), persistent=False)
        self.register_buffer("_fixed", _vertex_constants(template, config.bands), persistent=False)
        self.register_buffer("_anchor_inputs", self._fixed[torch.from_numpy(anchors)], persistent=False)

        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            self._build(len(anchors), expressions, config)

    def _build(self, anchors: int, expressions: int, config: PsiAConfig) -> None:
        width, vertices = config.width, len(self._fixed)
        self.latents = nn.Parameter(torch.randn(expressions, config.latents, width) * 0.5)
        self.anchor_embedding = nn.Parameter(torch.randn(anchors, width) * 0.02)
        self.vertex_features = nn.Parameter(torch.zeros(vertices, config.vertex_features))
        self.lift = nn.Linear(self._fixed.shape[1], width)
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width + config.vertex_features + self._fixed.shape[1], width)
        self.last = nn.Linear(width, CHANNELS)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        # Straight from the learned vertex features to the residual: the fast, local way to learn.
        self.local = nn.Linear(config.vertex_features, CHANNELS, bias=False)
        nn.init.orthogonal_(self.local.weight)
        # Eyes and the mouth's inside stay as authored but for one colour shift each.
        self.tints = nn.Parameter(torch.zeros(len(TINTS), 3))

    @property
    def expressions(self) -> int:
        return self.latents.shape[0]

    def vertex_values(self, index: Tensor) -> Tensor:
        """(B,) expression rows -> (B, V, width + vertex_features), what points interpolate."""
        tokens = self.lift(self._anchor_inputs) + self.anchor_embedding
        tokens = tokens.expand(len(index), -1, -1)
        latents = self.latents[index]
        for block in self.blocks:
            tokens = block(tokens, latents)
        tokens = self.norm(tokens)
        spread = self._spread @ tokens
        local = self.vertex_features.expand(len(index), -1, -1)
        return torch.cat([spread, local], -1)

    def forward(self, points: SurfacePoints, index: Tensor) -> Tensor:
        """Residuals at surface points.

        Args:
            points: N points of the template's skin.
            index: (B,) int64, rows of the expressions wanted.

        Returns:
            (B, N, 5) float32 logit-space residuals: albedo R, G, B, roughness, specular.
        """
        # The first layer is linear, so it is applied at the vertices (there are fewer of them).
        values = torch.cat([self.vertex_values(index), self._fixed.expand(len(index), -1, -1)], -1)
        hidden = points.interpolate(self.hidden(values))
        local = points.interpolate(self.local(self.vertex_features))
        # Adam moves all weights of a sum alike, so an unscaled wide sum would leap at the first step.
        return self.last(nn.functional.gelu(hidden)) * hidden.shape[-1] ** -0.5 + local


# Rows of `PsiA.tints`.
TINTS = ("iris", "sclera", "mouth")


class _Block(nn.Module):
    """Pre-norm: anchors attend to each other, then to the expression's latents, then an MLP."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.among = nn.MultiheadAttention(width, heads, batch_first=True)
        self.reading = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, latents: Tensor) -> Tensor:
        x = self.norms[0](tokens)
        tokens = tokens + self.among(x, x, x, need_weights=False)[0]
        keys = self.norms[3](latents)
        tokens = tokens + self.reading(self.norms[1](tokens), keys, keys, need_weights=False)[0]
        return tokens + self.mlp(self.norms[2](tokens))


def apply_residual(start: Tensor, residual: Tensor) -> Tensor:
    """Start material moved by logit-space residuals, within every map's bounds.

    Args:
        start: (..., 5): albedo sRGB in [0, 1], roughness in [0.05, 1], specular in [0, 1].
        residual: (..., 5), any value; zero gives the start (up to the logit's clip at 0.7 %).

    Returns:
        (..., 5) like `start`.
    """
    low, high = start.new_zeros(CHANNELS), start.new_ones(CHANNELS)
    low[ROUGHNESS], high[ROUGHNESS] = ROUGHNESS_RANGE
    unit = ((start - low) / (high - low)).clamp(0, 1)
    logit = torch.logit(unit, eps=1e-6).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    # What the clip took away is added back, faded by how far the residual has moved.
    lost = (unit - torch.sigmoid(logit)) * torch.exp(-residual.abs())
    return low + (high - low) * (torch.sigmoid(logit + residual) + lost).clamp(0, 1)


def farthest_points(points: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """`count` indices into (N, D) points, each the farthest from those before; the first is 0."""
    chosen = np.zeros(count, np.int64)
    distance = np.full(len(points), np.inf)
    for i in range(1, count):
        distance = np.minimum(distance, ((points - points[chosen[i - 1]]) ** 2).sum(1))
        chosen[i] = int(distance.argmax())
    return chosen


def _spread(
    points: NDArray[np.floating], anchors: NDArray[np.floating], neighbours: int
) -> NDArray[np.float32]:
    """(V, A) weights of each point's nearest anchors; rows sum to 1, the rest is 0.

    A dense matrix: with a few hundred anchors, one product is faster than gathering.
    """
    from scipy.spatial import cKDTree

    # One neighbour more than is used gives the radius, so that weights vanish where neighbours change.
    distance, index = cKDTree(anchors).query(points, k=min(neighbours + 1, len(anchors)))
    distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1)
    radius = distance[:, -1:] * 1.0001 + 1e-9
    weight = (1.0 - (distance / radius) ** 2) ** 2 + 1e-12
    out = np.zeros((len(points), len(anchors)), np.float32)
    np.put_along_axis(out, index, weight / weight.sum(1, keepdims=True), axis=1)
    return out


def _vertex_constants(template: HeadTemplate, bands: int) -> Tensor:
    """(V, C): Fourier features of the rest position and the template's regions."""
    rest = torch.as_tensor(np.asarray(template.vertices, np.float32))
    span = (rest.amax(0) - rest.amin(0)).max()
    unit = (rest - 0.5 * (rest.amax(0) + rest.amin(0))) / span * 2.0
    columns = [unit]
    for band in range(bands):
        angle = unit * (torch.pi * 2**band)
        columns += [torch.sin(angle), torch.cos(angle)]
    names = sorted(n for n in template.regions if n != "left")
    columns += [torch.as_tensor(np.asarray(template.regions[n], np.float32))[:, None] for n in names]
    return torch.cat(columns, 1)
