"""Scalp hair in a GLB: ribbons with a colour a vertex, as a mesh of their own.

They are fewer and wider than the strands of the bundle, and lie flat on the head, as nothing turns them to
the camera. Beard, brows and lashes are left out: they would have to move with every expression, and the
maps have them painted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..strands import SCALP, TIP, Strands
from .axes import to_y_up
from .glb_buffer import ELEMENT_ARRAY_BUFFER, GlbBuffer

MOST_TRIANGLES = 60_000
_POINTS, _COILED = 8, 16  # of a ribbon, straight and where hair is coiled
_STRAIGHT = 0.6  # the least ratio of a straight strand's ends' distance to its length


def hair_mesh(strands: Strands | None, name: str, material: int, buffer: GlbBuffer) -> dict[str, Any] | None:
    """The glTF mesh of a head's scalp hair, its data added to `buffer`; None where there is none."""
    if strands is None or not (strands.kind == SCALP).any():
        return None
    scalp = strands.only(strands.kind == SCALP)
    vertices, normals, triangles, source = ribbons(scalp)
    colour = np.repeat(_linear(scalp.colour[source]), len(vertices) // len(source), axis=0)
    primitive = {
        "attributes": {
            "POSITION": buffer.accessor(to_y_up(vertices), bounds=True),
            "NORMAL": buffer.accessor(to_y_up(normals)),
            "COLOR_0": buffer.accessor(colour),
        },
        "indices": buffer.accessor(triangles.reshape(-1).astype(np.uint32), ELEMENT_ARRAY_BUFFER),
        "material": material,
    }
    return {"name": f"{name}_hair", "primitives": [primitive]}


def hair_material(name: str) -> dict[str, Any]:
    """Its material: the vertices' colours, seen from both sides."""
    surface = {"metallicFactor": 0.0, "roughnessFactor": 0.45}
    return {"name": f"{name}_hair", "doubleSided": True, "pbrMetallicRoughness": surface}


def ribbons(
    scalp: Strands,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Vertices and normals (R * P * 2, 3), triangles (T, 3), and the (R,) strands that the R ribbons are."""
    run = np.linalg.norm(np.diff(scalp.points, axis=1), axis=2).sum(axis=1)
    ends = np.linalg.norm(scalp.points[:, -1] - scalp.points[:, 0], axis=1)
    wanted = _POINTS if np.median(ends / np.maximum(run, 1e-9)) > _STRAIGHT else _COILED
    steps = np.unique(np.linspace(0, scalp.points.shape[1] - 1, wanted).round().astype(np.int64))
    most = MOST_TRIANGLES // (2 * (len(steps) - 1))
    source = np.unique(np.linspace(0, len(scalp) - 1, min(most, len(scalp))).round().astype(np.int64))
    wider = (len(scalp) / len(source)) ** 0.8
    points = scalp.points[source][:, steps].astype(np.float64)
    tangent = np.gradient(points, axis=1)
    # Away from the middle of the scalp: near enough to the surface's normal.
    outward = _unit(points - scalp.points[:, 0].mean(axis=0))
    across = _unit(np.cross(tangent, outward))
    taper = np.linspace(1, TIP, len(steps))
    half = across * (wider * scalp.radius[source][:, None] * taper)[..., None]
    vertices = np.stack([points - half, points + half], axis=2).reshape(-1, 3)
    normals = np.repeat(_unit(np.cross(across, tangent)), 2, axis=1).reshape(-1, 3)
    first = 2 * (np.arange(len(source))[:, None] * len(steps) + np.arange(len(steps) - 1)).reshape(-1, 1)
    triangles = (first + np.array([[0, 1, 3, 0, 3, 2]])).reshape(-1, 3)
    return vertices.astype(np.float32), normals.astype(np.float32), triangles, source


def _linear(srgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """glTF's vertex colours are linear."""
    low = srgb <= 0.04045
    return np.where(low, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(lengths > 1e-12, vectors / np.maximum(lengths, 1e-12), [0.0, 0.0, 1.0])
