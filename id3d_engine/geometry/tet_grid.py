"""A tetrahedral grid of our own: the body-centred cubic (BCC) lattice.

Corners and centres of a cubic lattice; every two neighbouring centres form four tetrahedra with the
edges of the square between their cubes. All those tetrahedra are congruent and almost regular, so a
surface extracted from them has no preferred direction, and no grid file has to be shipped. At the
box's faces the remaining pyramids (centre and square) are halved, so the grid fills its box exactly.

Only tetrahedra near a surface are ever evaluated: `TetGrid.narrow` keeps a subset, reusing the
edges found once (no sorting a step).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError

TET_EDGES: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))

# A vertex that moves by at most this much of a cell along each axis cannot turn a tetrahedron over:
# the smallest height is cell / sqrt(2), and 2 * 0.2 * sqrt(3) < 1 / sqrt(2).
SAFE_OFFSET = 0.2


@dataclass(frozen=True, eq=False)
class Lattice:
    """A filled box: vertices (V, 3) float32, tets (T, 4) int32, on_face (V,) bool, cell in metres."""

    vertices: NDArray[np.float32]
    tets: NDArray[np.int32]
    on_face: NDArray[np.bool_]
    cell_m: float


@dataclass(frozen=True, eq=False)
class TetGrid:
    """V vertices, T tetrahedra, E edges.

    Attributes:
        vertices: (V, 3) float32, metres.
        tets: (T, 4) int64, each with positive volume: det(p1 - p0, p2 - p0, p3 - p0) > 0.
        edges: (E, 2) int64, each edge once.
        tet_edges: (T, 6) int64 into `edges`, in the order of `TET_EDGES`.
        free: (V, 1) float32, 0 where a vertex lies on a face of the box and must stay there, else 1.
        cell_m: side of the cubic cell; the two edge lengths are cell and 0.866 cell.
    """

    vertices: Tensor
    tets: Tensor
    edges: Tensor
    tet_edges: Tensor
    free: Tensor
    cell_m: float

    def to(self, device: torch.device | str) -> TetGrid:
        names = ("vertices", "tets", "edges", "tet_edges", "free")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def narrow(self, keep: Tensor) -> tuple[TetGrid, Tensor]:
        """The tetrahedra that `keep` (T,) bool marks, with the vertices and edges they use.

        Returns:
            The smaller grid, and (V',) int64: its vertices' indices in this grid.
        """
        tets, tet_edges = self.tets[keep], self.tet_edges[keep]
        vertex_ids, vertex_new = _compact(tets, len(self.vertices))
        edge_ids, edge_new = _compact(tet_edges, len(self.edges))
        grid = TetGrid(
            vertices=self.vertices[vertex_ids],
            tets=vertex_new[tets],
            edges=vertex_new[self.edges[edge_ids]],
            tet_edges=edge_new[tet_edges],
            free=self.free[vertex_ids],
            cell_m=self.cell_m,
        )
        return grid, vertex_ids


def bcc_lattice(low: tuple[float, float, float], high: tuple[float, float, float], cell_m: float) -> Lattice:
    """Positively oriented tetrahedra that fill a box.

    The box starts at `low` and is rounded up to whole cells. V is about 2 and T about 12 a cell.

    Raises:
        InputError: the cell size is not positive, or the box is empty.
    """
    extent = np.asarray(high, np.float64) - np.asarray(low, np.float64)
    if cell_m <= 0 or (extent <= 0).any():
        raise InputError(
            f"a grid needs a positive cell size and a box with low < high, not cell {cell_m} m "
            f"and box {low} to {high}: check the sculpting configuration"
        )
    nx, ny, nz = np.ceil(extent / cell_m - 1e-6).astype(int)
    corner = np.arange((nx + 1) * (ny + 1) * (nz + 1), dtype=np.int32).reshape(nx + 1, ny + 1, nz + 1)
    centre = corner.size + np.arange(nx * ny * nz, dtype=np.int32).reshape(nx, ny, nz)
    axes = np.indices((nx + 1, ny + 1, nz + 1)).reshape(3, -1).T
    middles = np.indices((nx, ny, nz)).reshape(3, -1).T + 0.5
    vertices = (np.concatenate([axes, middles]) * cell_m + np.asarray(low)).astype(np.float32)
    tets = np.concatenate([part for axis in range(3) for part in _tets_along(corner, centre, axis)])
    a, b, c, d = (vertices[tets[:, i]] for i in range(4))
    turned = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) < 0
    tets[turned] = tets[turned][:, [0, 1, 3, 2]]
    on_face = np.zeros(len(vertices), bool)
    on_face[: corner.size] = ((axes == 0) | (axes == [nx, ny, nz])).any(axis=1)
    return Lattice(vertices, tets, on_face, cell_m)


def build_grid(lattice: Lattice, near: NDArray[np.bool_]) -> tuple[TetGrid, NDArray[np.int64]]:
    """The part of a lattice whose tetrahedra have all four vertices in `near` (V,) bool.

    Returns:
        The grid, and (V',) int64: its vertices' indices in the lattice.

    Raises:
        InputError: no tetrahedron is near.
    """
    kept = lattice.tets[near[lattice.tets].all(axis=1)]
    if len(kept) == 0:
        raise InputError("the surface lies outside the grid's box: check units (metres) and axes (Z up)")
    vertex_ids, flat = np.unique(kept, return_inverse=True)
    kept, count = flat.reshape(-1, 4), len(vertex_ids)
    pairs = np.sort(kept[:, TET_EDGES], axis=2).reshape(-1, 2).astype(np.int64)
    keys, tet_edges = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
    grid = TetGrid(
        vertices=torch.from_numpy(lattice.vertices[vertex_ids]),
        tets=torch.from_numpy(kept.astype(np.int64)),
        edges=torch.from_numpy(np.stack([keys // count, keys % count], axis=1)),
        tet_edges=torch.from_numpy(tet_edges.reshape(-1, 6).astype(np.int64)),
        free=torch.from_numpy((~lattice.on_face[vertex_ids, None]).astype(np.float32)),
        cell_m=lattice.cell_m,
    )
    return grid, vertex_ids


def gather(values: Tensor, index: Tensor) -> Tensor:
    """values[index] over the first axis; its gradient is summed in one order, whatever the threads."""
    return values.index_select(0, index.reshape(-1)).view(*index.shape, *values.shape[1:])


def crossing(tets: Tensor, sdf: Tensor) -> Tensor:
    """(T,) bool: the tetrahedra that the zero level of `sdf` (V,) passes through."""
    count = (sdf < 0).to(torch.uint8)[tets].sum(dim=1, dtype=torch.uint8)
    return (count > 0) & (count < 4)


def cut_ends(edges: Tensor, sdf: Tensor) -> Tensor:
    """(N,) the vertices, with repetitions, of the edges (E, 2) that the zero level of `sdf` crosses."""
    start, end = edges.unbind(dim=1)
    inside = sdf < 0
    return edges[inside[start] != inside[end]].flatten()


def band(grid: TetGrid, sdf: Tensor, margin_m: float = 0.0) -> Tensor:
    """(T,) bool: tetrahedra that the surface crosses or may cross after moving by `margin_m`."""
    close = (sdf.abs() < margin_m)[grid.tets].any(dim=1)
    return crossing(grid.tets, sdf) | close


def _tets_along(corner: NDArray[np.int32], centre: NDArray[np.int32], axis: int) -> list[NDArray[np.int32]]:
    """Tetrahedra across the squares that face `axis`: four inside the box, two at its faces."""
    corner, centre = np.moveaxis(corner, axis, 0), np.moveaxis(centre, axis, 0)
    ring = [corner[:, :-1, :-1], corner[:, 1:, :-1], corner[:, 1:, 1:], corner[:, :-1, 1:]]
    parts = []
    for i in range(4):
        edge = [ring[i][1:-1], ring[(i + 1) % 4][1:-1]]
        parts.append(np.stack([centre[:-1], centre[1:], *edge], axis=-1).reshape(-1, 4))
    for layer in (0, -1):
        square = [side[layer] for side in ring]
        for i, j, k in ((0, 1, 2), (0, 2, 3)):
            half = np.stack([centre[layer], square[i], square[j], square[k]], axis=-1)
            parts.append(half.reshape(-1, 4))
    return parts


def _compact(used: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices in use, and a table from old index to new."""
    mark = torch.zeros(count, dtype=torch.bool, device=used.device)
    mark[used] = True
    return torch.nonzero(mark).squeeze(1), torch.cumsum(mark, dim=0) - 1
