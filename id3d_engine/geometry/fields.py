"""Where distillation starts: one grid for all expressions, and each one's signed distance on it.

The grid keeps the lattice near any expression's surface. Every grid vertex also gets its `place`:
where it would lie on the neutral head if the nearest piece of skin carried it back, so that
Psi_g meets a nose tip at the same coordinates in every expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..template import HeadTemplate
from .sdf import Solid, parts
from .tet_grid import Lattice, TetGrid, bcc_lattice, build_grid

SPECK = 12  # loose parts of the solid with fewer grid vertices are dropped
CREASE = 0.5  # cells; narrower gaps than twice this are closed


@dataclass(frozen=True, eq=False)
class PosedHead:
    """The head that distillation starts from, in the template's topology.

    Attributes:
        neutral: (V, 3) metres.
        offsets: expression name -> (V, 3) metres from `neutral`.
        triangles: (T, 3).
        template: gives landmarks for the close-ups.
    """

    neutral: NDArray[np.float32]
    offsets: Mapping[str, NDArray[np.float32]]
    triangles: NDArray[np.int32]
    template: HeadTemplate

    def vertices(self, name: str) -> NDArray[np.float32]:
        """(V, 3) of one expression; "neutral" has no offsets."""
        return self.neutral if name == "neutral" else self.neutral + self.offsets[name]

    def landmarks(self, name: str) -> dict[str, Tensor]:
        """Landmark name -> (3,) in that expression."""
        vertices = self.vertices(name)
        return {key: torch.from_numpy(vertices[i].copy()) for key, i in self.template.landmarks.items()}


@dataclass(frozen=True, eq=False)
class StartFields:
    """K expressions on a grid of V vertices; index 0 is the neutral.

    Attributes:
        names: K names.
        grid: every tetrahedron that some expression's surface may reach.
        sdf: (K, V) float32 metres, negative inside, exact up to the reach and a few cells.
        place: (K, V, 3) float32, the vertices' places on the neutral head.
    """

    names: tuple[str, ...]
    grid: TetGrid
    sdf: Tensor
    place: Tensor

    def to(self, device: torch.device | str) -> StartFields:
        return replace(self, grid=self.grid.to(device), sdf=self.sdf.to(device), place=self.place.to(device))


def start_fields(start: PosedHead, names: tuple[str, ...], cell_m: float, reach_m: float) -> StartFields:
    """Measure the start head on a grid of its own.

    Args:
        start: The head.
        names: "neutral" first, then keys of `start.offsets`.
        cell_m: The lattice's cell.
        reach_m: How far a surface may move from its start.

    Raises:
        InputError: cell size or mesh are unusable.
    """
    limit = reach_m + 2.5 * cell_m
    heads = [start.vertices(name) for name in names]
    solids = [Solid(h, start.triangles) for h in heads]
    lattice = _lattice_around(heads, cell_m, limit + cell_m)
    near = np.zeros(len(lattice.vertices), bool)
    for solid in solids:
        far = np.flatnonzero(~near)
        near[far] = solid.distance(lattice.vertices[far], limit) < limit
    grid, _ = build_grid(lattice, near)
    vertices = grid.vertices.numpy()
    sdf = np.empty((len(names), len(vertices)), np.float32)
    place = np.empty((len(names), len(vertices), 3), np.float32)
    for k, (solid, head) in enumerate(zip(solids, heads, strict=True)):
        distances = solid.measure(vertices, limit, grid.edges.numpy())
        sdf[k] = clean(grid, distances.sdf)
        found = distances.nearest[:, 0] >= 0
        moved = (head - start.neutral)[distances.nearest[found]]
        place[k] = vertices
        place[k, found] -= np.einsum("pcd,pc->pd", moved, distances.weights[found])
    return StartFields(tuple(names), grid, torch.from_numpy(sdf), torch.from_numpy(place))


def clean(grid: TetGrid, sdf: NDArray[np.float32]) -> NDArray[np.float32]:
    """Close what the grid cannot show: creases, inner holes (mouth, nose, sockets), loose specks.

    A crease is outside but nowhere near open space: its vertex and all its neighbours lie within
    `CREASE` cells of the surface. Sampled on the grid it would be a row of pits.
    """
    edges, cell = grid.edges.numpy(), grid.cell_m
    widest = sdf.copy()
    np.maximum.at(widest, edges[:, 0], sdf[edges[:, 1]])
    np.maximum.at(widest, edges[:, 1], sdf[edges[:, 0]])
    crease = (sdf >= 0) & (widest < CREASE * cell)
    sdf = np.where(crease, -np.maximum(sdf, 0.1 * cell), sdf)
    cavity = ~_largest(edges, sdf >= 0)[0] & (sdf >= 0)
    sdf = np.where(cavity, -np.maximum(sdf, 0.5 * cell), sdf)
    largest, sizes = _largest(edges, sdf < 0)
    speck = (sdf < 0) & ~largest & (sizes < SPECK)
    return np.where(speck, np.maximum(-sdf, 0.5 * cell), sdf).astype(np.float32)


def _largest(
    edges: NDArray[np.int64], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(V,) bool: the largest connected part of `mask`; (V,) the size of each vertex's part."""
    label = parts(edges[mask[edges].all(axis=1)], len(mask))
    counts = np.bincount(label[mask], minlength=label.max() + 1)
    return mask & (label == counts.argmax()), counts[label]


def _lattice_around(heads: list[NDArray[np.float32]], cell_m: float, margin: float) -> Lattice:
    """A lattice around all heads, with the head's own mirror plane x = 0 in its middle."""
    everything = np.concatenate(heads).astype(np.float64)
    low, high = everything.min(axis=0) - margin, everything.max(axis=0) + margin
    side = np.ceil(max(-low[0], high[0]) / cell_m) * cell_m
    return bcc_lattice((-side, low[1], low[2]), (side, high[1], high[2]), cell_m)
