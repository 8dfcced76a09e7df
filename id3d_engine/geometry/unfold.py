"""Shape keys without triangles turned inside out, which light and textures would show as dark specks.

Where a key folds skin (corners of lids and lips), a few triangles end up facing away from where they
faced at rest. The vertices around them are moved until none does, as little and as smoothly as that
allows.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..rig.smooth import graph_laplacian, neighbours
from ..rig.units import STILL_M
from ..template import HeadTemplate
from .mesh_quality import inverted
from .wrap import skin_triangles

Array = NDArray[np.float64]
RINGS = 4  # of neighbours that take part in opening a fold
ROUNDS = 600
RATE_M = 1e-4
FACING = 0.25  # the cosine that a triangle's normal must keep to its normal at rest
AREA = 0.2  # the share of its area that it must keep in that direction
KEEP, SMOOTH = 0.01, 0.1  # weights, per square millimetre, of moving at all and of moving unevenly


def unfold_keys(
    template: HeadTemplate, neutral: NDArray[np.floating], keys: Mapping[str, NDArray[np.floating]]
) -> dict[str, NDArray[np.float32]]:
    """Every key of a head of the template's topology with its skin unfolded; still vertices stay still.

    Args:
        template: Says what is skin.
        neutral: (V, 3) metres.
        keys: name -> (V, 3) offsets at value 1.
    """
    skin = skin_triangles(template)
    return {
        name: unfold(neutral, offsets, skin, np.linalg.norm(offsets, axis=1) > STILL_M).astype(np.float32)
        for name, offsets in keys.items()
    }


def unfold(
    neutral: NDArray[np.floating],
    offsets: NDArray[np.floating],
    triangles: NDArray[np.integer],
    movable: NDArray[np.bool_],
) -> Array:
    """(V, 3) offsets with as few inverted triangles as moving their surroundings allows.

    Minimises sum(max(0, FACING - cos)^2 + max(0, AREA - a)^2) + KEEP |d|^2 + SMOOTH |L d|^2 over the
    displacements d of the vertices near a fold: cos is between a triangle's normals at rest and moved,
    a the area that still faces as it did over the area at rest (alone in flattening what is turned
    by 180 degrees, where cos has no slope), L the graph Laplacian.

    Args:
        neutral: (V, 3) metres.
        offsets: (V, 3) of one shape key at value 1.
        triangles: (T, 3) that are to be looked at, e.g. the skin's.
        movable: (V,) vertices whose offsets may change.
    """
    best = np.array(offsets, np.float64)
    bad = inverted(neutral, neutral + best, triangles)
    if not bad.any():
        return best
    edges = neighbours(triangles, len(best))
    near = np.zeros(len(best), bool)
    near[triangles[bad].ravel()] = True
    for _ in range(RINGS):
        near |= (edges @ near.astype(float)) > 0
    free = np.flatnonzero(near & movable)
    local = triangles[near[triangles].any(axis=1)]
    laplacian = graph_laplacian(edges)[free][:, free].tocoo()
    indices = torch.from_numpy(np.stack([laplacian.row, laplacian.col]).astype(np.int64))
    smooth = torch.sparse_coo_tensor(
        indices, torch.from_numpy(laplacian.data), laplacian.shape, check_invariants=True
    )
    rest = _normals(torch.from_numpy(np.asarray(neutral, np.float64)), local)
    size = rest.norm(dim=1).clamp(min=1e-14)
    start = torch.from_numpy(np.asarray(neutral, np.float64) + best)
    moved = torch.zeros(len(free), 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([moved], lr=RATE_M)
    fewest = int(bad.sum())
    for _ in range(ROUNDS):
        posed = start.index_add(0, torch.from_numpy(free), moved)
        normal = _normals(posed, local)
        facing = (normal * rest).sum(dim=1) / size
        found = int((facing < 0).sum())
        if found < fewest:
            fewest, best = found, posed.detach().numpy() - neutral
        if not found:
            break
        millimetres = 1e3 * moved
        cosine = facing / normal.norm(dim=1).clamp(min=1e-14)
        loss = (FACING - cosine).clamp(min=0).square().sum()
        loss = loss + (AREA - facing / size).clamp(min=0).square().sum()
        loss = loss + KEEP * millimetres.square().sum() + SMOOTH * (smooth @ millimetres).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return best


def _normals(vertices: Tensor, triangles: NDArray[np.integer]) -> Tensor:
    a, b, c = (vertices[torch.from_numpy(np.ascontiguousarray(triangles[:, k]))] for k in range(3))
    return torch.linalg.cross(b - a, c - a)
