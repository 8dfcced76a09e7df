"""Psi_g: the transformer that moves each expression's surface away from its start.

One learned latent set k_exp^n for each expression (a part shared by all plus a part of its own) goes
through self-attention; the grid's vertices then query it by cross-attention, and a small head gives
each vertex a residual of the signed distance and an offset of the vertex. The last layer starts at
zero, so step 0 is exactly the start head.

Two things make it quick to fit. Tokens are tied to anchors, points spread over the start head, and
every attention head prefers near anchors, `q . k - |x - a|^2 / (2 width^2)`, with its own learned
width: a vertex listens mostly to its part of the face. And vertices are named by their place on the
neutral head (see `sculpt`), so what is learned about a nose holds in every expression.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .tet_grid import SAFE_OFFSET

METRE = 10.0  # network coordinates are decimetres: a head spans about -1.5 to 3.5
GAIN_M = 0.01  # a raw output of 1 means one centimetre


@dataclass(frozen=True)
class PsiGConfig:
    """Sizes of Psi_g."""

    tokens: int = 96  # anchors over the head
    width: int = 64  # features a token and a vertex
    heads: int = 4
    layers: int = 2  # self-attention blocks over the tokens
    wavelengths_m: tuple[float, ...] = (0.24, 0.12, 0.06, 0.03)  # Fourier features, isotropic
    waves: int = 12  # directions a wavelength
    anchor_widths_m: tuple[float, ...] = (0.02, 0.03, 0.05, 0.1)  # one a head, cycled
    reach_m: float = 0.03  # largest residual: the surface stays in this shell around its start


@dataclass(frozen=True, eq=False)
class Deformation:
    """What Psi_g says at P vertices: residual (P,) metres, offset (P, 3) metres."""

    residual: Tensor
    offset: Tensor


@dataclass(frozen=True, eq=False)
class Query:
    """P vertices as Psi_g sees them: coordinates (P, 3) in decimetres and wave features (P, F)."""

    x: Tensor
    features: Tensor


class PsiG(nn.Module):
    """Psi_g(Gamma, k_exp^n).

    Args:
        anchors: (N, 3) float, metres, on the neutral start head; N = config.tokens.
        expressions: how many latent sets, the neutral included.
        cell_m: the grid's cell; offsets stay below `SAFE_OFFSET` of it along each axis.
        generator: draws the initial latents, weights and wave directions.
    """

    anchors: Tensor
    waves: Tensor

    def __init__(
        self,
        anchors: Tensor,
        expressions: int,
        cell_m: float,
        config: PsiGConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config, self.cell_m = config, cell_m
        width, tokens = config.width, len(anchors)
        self.register_buffer("anchors", anchors.float() * METRE)
        self.register_buffer("waves", _wave_vectors(config, generator))
        self.shared = nn.Parameter(torch.randn(tokens, width, generator=generator) * 0.5)
        # One parameter each: a round without an expression must not move it by stale momentum.
        self.own = nn.ParameterList(torch.zeros(tokens, width) for _ in range(expressions))
        self.place = nn.Linear(2 * self.waves.shape[1] + 3, width)
        self.blocks = nn.ModuleList(_Block(width, config.heads) for _ in range(config.layers))
        self.token_norm, self.query_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.mix = nn.Linear(width, width), nn.Linear(width, width)
        widths = [config.anchor_widths_m[i % len(config.anchor_widths_m)] for i in range(config.heads)]
        self.log_width = nn.Parameter(torch.log(torch.tensor(widths) * METRE))
        last = nn.Linear(2 * width, 4)
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"), last
        )
        _initialise(self, generator)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def tokens(self, expression: int) -> Tensor:
        """(N, C): the latent set of one expression after self-attention."""
        x = (self.shared + self.own[expression] + self.place(self._features(self.anchors)))[None]
        for block in self.blocks:
            x = block(x)
        return self.token_norm(x[0])

    def query_at(self, points: Tensor) -> Query:
        """Points (P, 3), metres on the neutral head, made ready to be asked about several times."""
        x = points.to(self.anchors) * METRE
        return Query(x, self._features(x))

    def forward(self, points: Tensor | Query, expression: int, free: Tensor | None = None) -> Deformation:
        """The deformation of one expression at points (P, 3), metres on the neutral head.

        `free` (P, 1) is 0 where a vertex must stay where it is (`TetGrid.free`).
        """
        asked = points if isinstance(points, Query) else self.query_at(points)
        x, tokens, place = asked.x, self.tokens(expression), self.place(asked.features)
        heads, size = self.config.heads, self.config.width // self.config.heads
        query = self.query(self.query_norm(place)).view(-1, heads, size).transpose(0, 1)
        key, value = (f(tokens).view(-1, heads, size).transpose(0, 1) for f in (self.key, self.value))
        query, key = self._prefer_near(query / math.sqrt(size), key, x)
        value = nn.functional.pad(value, (0, 4))  # the fused kernel wants equal sizes
        listened = nn.functional.scaled_dot_product_attention(query[None], key[None], value[None], scale=1.0)
        listened = listened[0, ..., :size].transpose(0, 1).reshape(len(x), -1)
        out = self.head(place + self.mix(listened))
        reach = self.config.reach_m
        residual = reach * torch.tanh(out[:, 0] * (GAIN_M / reach))
        offset = SAFE_OFFSET * self.cell_m * torch.tanh(out[:, 1:])
        return Deformation(residual, offset if free is None else offset * free)

    def _prefer_near(self, query: Tensor, key: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Four more features a head, whose product is -|x - a|^2 / (2 width^2) less what softmax ignores."""
        near = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        near = near * torch.exp(-2 * self.log_width)[:, None, None]
        anchor = torch.cat([self.anchors, -0.5 * (self.anchors**2).sum(dim=1, keepdim=True)], dim=1)
        anchor = anchor.expand(len(key), -1, -1)
        return torch.cat([query, near], dim=2), torch.cat([key, anchor], dim=2)

    def _features(self, x: Tensor) -> Tensor:
        phase = x @ self.waves
        return torch.cat([x - self.anchors.mean(dim=0), torch.sin(phase), torch.cos(phase)], dim=1)


class _Block(nn.Module):
    """Pre-norm self-attention and MLP over (B, N, C)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        heard = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(heard.transpose(1, 2).reshape(b, n, c))
        return x + self.mlp(self.norm_mlp(x))


def spread_points(points: Tensor, count: int) -> Tensor:
    """Farthest-point sampling: `count` of the points (V, 3), starting from the first."""
    chosen = [0]
    distance = (points - points[0]).square().sum(dim=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (points - points[chosen[-1]]).square().sum(dim=1))
    return points[chosen]


def _wave_vectors(config: PsiGConfig, generator: torch.Generator) -> Tensor:
    """(3, W): random directions, so that no axis is preferred, at each wavelength."""
    parts = []
    for wavelength in config.wavelengths_m:
        direction = torch.randn(3, config.waves, generator=generator)
        direction = direction / direction.norm(dim=0, keepdim=True)
        parts.append(direction * (2 * math.pi / (wavelength * METRE)))
    return torch.cat(parts, dim=1)


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """torch's default for linear layers, but drawn from `generator`."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
