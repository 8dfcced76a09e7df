"""Smooth fields on a mesh: cotangent Laplacian, bending energy, smoothed offsets for optimisers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Operators:
    """Attributes: stiffness (V, V), positive semidefinite; mass (V,) in square metres, at least a floor."""

    stiffness: sparse.csr_matrix
    mass: Array

    def bending(self) -> sparse.csr_matrix:
        """(V, V): u' B u is the integral of the squared Laplacian of u (in 1 over square metres)."""
        return (self.stiffness @ sparse.diags(1.0 / self.mass) @ self.stiffness).tocsr()


def operators(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> Operators:
    """Cotangent weights (Pinkall and Polthier 1993), each clamped to [0.05, 5] so that slivers are safe.

    Vertices of no triangle get no stiffness and the smallest mass.
    """
    corner = np.asarray(vertices, np.float64)[triangles]
    rows, columns, values = [], [], []
    for k in range(3):
        a, b = corner[:, (k + 1) % 3] - corner[:, k], corner[:, (k + 2) % 3] - corner[:, k]
        sine = np.maximum(np.linalg.norm(np.cross(a, b), axis=1), 1e-14)
        weight = np.clip((a * b).sum(axis=1) / sine, 0.05, 5.0) / 2
        rows.append(triangles[:, (k + 1) % 3])
        columns.append(triangles[:, (k + 2) % 3])
        values.append(weight)
    count = len(vertices)
    w = sparse.coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    ).tocsr()
    w = w + w.T
    stiffness = (sparse.diags(np.asarray(w.sum(axis=1)).ravel()) - w).tocsr()
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2
    mass = np.bincount(np.asarray(triangles).ravel(), weights=np.repeat(area / 3, 3), minlength=count)
    positive = mass[mass > 0]
    return Operators(stiffness, np.maximum(mass, 0.1 * np.median(positive)))


def neighbours(triangles: NDArray[np.integer], count: int) -> sparse.csr_matrix:
    """(V, V) of ones where two of `count` vertices share an edge of the triangles (T, 3)."""
    i, j = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    edges = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(count, count)).tocsr()
    edges = ((edges + edges.T) > 0).astype(float)
    edges.setdiag(0)
    return edges


def graph_laplacian(edges: sparse.csr_matrix) -> sparse.csr_matrix:
    """(V, V) degree less adjacency, of what `neighbours` gives."""
    return (sparse.diags(np.asarray(edges.sum(axis=1)).ravel()) - edges).tocsr()


def fading(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], reach_m: float
) -> sparse.csr_matrix:
    """(V, V) the energy of fields that are smooth and fade to zero over `reach_m`; for `extended`."""
    operator = operators(vertices, triangles)
    return (operator.stiffness + sparse.diags(operator.mass) / reach_m**2).tocsr()


def extended(
    energy: sparse.csr_matrix, fixed: NDArray[np.integer], values: Array, free: NDArray[np.bool_]
) -> Array:
    """(V, ...) the field of least energy: `values` (N, ...) at `fixed`, zero elsewhere but where `free`."""
    field = np.zeros((energy.shape[0], *np.shape(values)[1:]))
    field[fixed] = values
    inside = np.flatnonzero(free)
    field[inside] = factor(energy[inside][:, inside]).solve(-(energy[inside][:, fixed] @ values))
    return field


def factor(system: sparse.spmatrix) -> SuperLU:
    """Sparse LU of a symmetric positive definite matrix, ordered for symmetry (fast for meshes)."""
    return splu(
        system.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )


class SmoothOffsets(torch.nn.Module):
    """Vertex offsets that stay smooth under an optimiser: offsets = (I + lambda L)^-1 u.

    "Large Steps in Inverse Rendering of Geometry" (Nicolet, Jacobson, Jakob 2021): Adam on `u` moves
    whole regions instead of single vertices. L is the uniform graph Laplacian over its largest
    degree-free form (unit diagonal scale), so `strength` is roughly the squared reach in edges.

    Args:
        triangles: (T, 3) of the mesh.
        vertex_count: V.
        strength: lambda; 0 gives u itself.
        fixed: (V,) bool, vertices whose offsets are exactly zero, or None.
        start: (V, 3) offsets to begin with, or None for zero.
    """

    def __init__(
        self,
        triangles: NDArray[np.integer],
        vertex_count: int,
        *,
        strength: float = 20.0,
        fixed: NDArray[np.bool_] | None = None,
        start: NDArray[np.floating] | None = None,
    ) -> None:
        super().__init__()
        laplacian = graph_laplacian(neighbours(np.asarray(triangles), vertex_count))
        system = (sparse.identity(vertex_count) + strength * laplacian).tocsc()
        self._solve = factor(system).solve
        keep = np.ones(vertex_count) if fixed is None else 1.0 - np.asarray(fixed, float)
        self.register_buffer("keep", torch.from_numpy(keep).float()[:, None], persistent=False)
        first = np.zeros((vertex_count, 3)) if start is None else system @ np.asarray(start, float)
        self.u = torch.nn.Parameter(torch.from_numpy(first).float())

    def forward(self) -> Tensor:
        """(V, 3) offsets, metres, on the parameter's device."""
        return _Solve.apply(self.u, self._solve) * self.keep


class _Solve(torch.autograd.Function):
    """x -> A^-1 x for a symmetric A, factorised once on the CPU."""

    @staticmethod
    def forward(ctx, u, solve):  # type: ignore[no-untyped-def]
        ctx.solve = solve
        return _apply(solve, u)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return _apply(ctx.solve, gradient), None


def _apply(solve, values: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    # Doubles stay on the CPU: not every GPU has them.
    out = solve(values.detach().cpu().double().numpy())
    return torch.from_numpy(out).to(values.dtype).to(values.device)
