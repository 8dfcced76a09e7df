"""Mesh arithmetic that exporters share: smooth normals, and vertices split at UV seams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..head import Head
from ..template import EYE, MOUTH, SKIN

PART_NAMES = {SKIN: "skin", EYE: "eyes", MOUTH: "mouth"}


@dataclass(frozen=True, eq=False)
class SplitPart:
    """One part of the head with one UV per vertex, as GPU formats want it.

    Attributes:
        name: "skin", "eyes" or "mouth".
        source: (N,) int64, the head vertex each split vertex came from.
        uv: (N, 2) float32, v up.
        triangles: (T, 3) uint32 into the N split vertices; no degenerate ones.
    """

    name: str
    source: NDArray[np.int64]
    uv: NDArray[np.float32]
    triangles: NDArray[np.uint32]


def split_parts(head: Head) -> list[SplitPart]:
    """The head's parts, vertices split only where their UVs differ."""
    parts = []
    for value, name in PART_NAMES.items():
        chosen = head.part == value
        if not chosen.any():
            continue
        corners = np.concatenate([head.faces[chosen][:, [0, 1, 2]], head.faces[chosen][:, [0, 2, 3]]])
        corner_uv = np.concatenate([head.uv[chosen][:, [0, 1, 2]], head.uv[chosen][:, [0, 2, 3]]])
        a, b, c = corners.T
        whole = (a != b) & (b != c) & (a != c)
        corners, corner_uv = corners[whole].reshape(-1), corner_uv[whole].reshape(-1, 2)
        # Compare UVs by their bits: equal corners are copies of one number, never near misses.
        keys = np.column_stack([corners, (corner_uv + np.float32(0)).view(np.int32)])
        _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        parts.append(
            SplitPart(
                name=name,
                source=corners[first].astype(np.int64),
                uv=corner_uv[first],
                triangles=inverse.reshape(-1, 3).astype(np.uint32),
            )
        )
    return parts


def smooth_normals(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.float32]:
    """(V, 3) unit vertex normals, area-weighted; (0, 0, 1) where no triangle has any area."""
    corners = np.asarray(vertices, np.float64)[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros((len(vertices), 3))
    for axis in range(3):
        total[:, axis] = np.bincount(
            triangles.reshape(-1), np.repeat(normals[:, axis], 3), minlength=len(vertices)
        )
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(lengths > 1e-20, total / np.maximum(lengths, 1e-20), [0.0, 0.0, 1.0]).astype(np.float32)
