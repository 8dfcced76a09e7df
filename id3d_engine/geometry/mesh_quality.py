"""Is a mesh usable, and how far are two of them apart: what evaluation and checks measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .closest import Target
from .intersections import self_intersecting

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KeyQuality:
    """One shape key at value 1, against the neutral.

    Attributes:
        finite: No offset is NaN or infinite.
        inverted: Share of triangles whose normal has turned by more than 90 degrees.
        stretch: 99.9th percentile of edge lengths over their neutral lengths.
        largest_m: The longest offset.
        intersecting: Share of the skin's triangles that pass through others of it (`intersections.py`).
    """

    finite: bool
    inverted: float
    stretch: float
    largest_m: float
    intersecting: float


def key_quality(
    neutral: NDArray[np.floating],
    offsets: NDArray[np.floating],
    triangles: NDArray[np.integer],
    skin: NDArray[np.bool_] | None = None,
) -> KeyQuality:
    """Quality of one shape key: neutral and offsets (V, 3) metres, triangles (T, 3).

    `skin` (T,) says which triangles must not pass through each other; None is all.
    """
    if not np.isfinite(offsets).all():
        return KeyQuality(False, 1.0, float("inf"), float("inf"), 1.0)
    posed = np.asarray(neutral, np.float64) + offsets
    before, after = edge_lengths(neutral, triangles), edge_lengths(posed, triangles)
    usable = before > 1e-6
    return KeyQuality(
        finite=True,
        inverted=float(inverted(neutral, posed, triangles).mean()),
        stretch=float(np.percentile(after[usable] / before[usable], 99.9)),
        largest_m=float(np.linalg.norm(offsets, axis=1).max()),
        intersecting=float(self_intersecting(posed, triangles if skin is None else triangles[skin]).mean()),
    )


def keys_quality(
    neutral: NDArray[np.floating],
    keys: Mapping[str, NDArray[np.floating]],
    triangles: NDArray[np.integer],
    skin: NDArray[np.bool_] | None = None,
) -> dict[str, KeyQuality]:
    """`key_quality` of every shape key by name."""
    return {name: key_quality(neutral, offsets, triangles, skin) for name, offsets in keys.items()}


def inverted(
    before: NDArray[np.floating], after: NDArray[np.floating], triangles: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """(T,) triangles whose normal points away from where it pointed; triangles without area never."""
    return (_normals(before, triangles) * _normals(after, triangles)).sum(axis=1) < -1e-18


def edge_lengths(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> Array:
    """(3T,) lengths in metres, every triangle's three edges."""
    corner = np.asarray(vertices, np.float64)[triangles]
    return np.linalg.norm(corner - np.roll(corner, -1, axis=1), axis=2).ravel()


def align(
    moving: NDArray[np.floating],
    fixed: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
) -> Array:
    """(V, 3) `moving` after the rotation and translation that bring it closest to `fixed`.

    Weighted least squares over corresponding vertices (Kabsch 1976, Umeyama 1991); no scaling.
    """
    a, b = np.asarray(moving, np.float64), np.asarray(fixed, np.float64)
    w = np.ones(len(a)) if weights is None else np.asarray(weights, np.float64)
    w = (w / w.sum())[:, None]
    centre_a, centre_b = (w * a).sum(axis=0), (w * b).sum(axis=0)
    u, _, vt = np.linalg.svd((w * (a - centre_a)).T @ (b - centre_b))
    rotation = (u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt).T
    return (a - centre_a) @ rotation.T + centre_b


def surface_error(
    found: NDArray[np.floating],
    truth: NDArray[np.floating],
    triangles: NDArray[np.integer],
    weights: NDArray[np.floating] | None = None,
    *,
    aligned: bool = True,
) -> float:
    """Mean distance in metres from the vertices of one head to the surface of another.

    Args:
        found: (V, 3) metres, the head to judge.
        truth: (V, 3) metres, the same topology.
        triangles: (T, 3) of the true surface.
        weights: (V,) in [0, 1], e.g. a region of the template: both the alignment and the mean
            use them. None means all vertices alike.
        aligned: First remove the rigid motion between the two.

    Raises:
        InputError: the two heads differ in topology, or no vertex has weight.
    """
    if found.shape != truth.shape:
        raise InputError(
            f"heads of {len(found)} and {len(truth)} vertices cannot be compared: use one topology"
        )
    w = np.ones(len(found)) if weights is None else np.asarray(weights, np.float64)
    if w.sum() <= 0:
        raise InputError("no vertex has weight: choose a region that the head has")
    moved = align(found, truth, w) if aligned else np.asarray(found, np.float64)
    used = w > 0
    distance = Target((truth, triangles)).closest(moved[used], np.inf).distance
    return float((w[used] * distance).sum() / w[used].sum())


def vertex_error(
    found: NDArray[np.floating],
    truth: NDArray[np.floating],
    weights: NDArray[np.floating] | None = None,
    *,
    aligned: bool = True,
) -> float:
    """Mean distance in metres between corresponding vertices; arguments as for `surface_error`."""
    w = np.ones(len(found)) if weights is None else np.asarray(weights, np.float64)
    moved = align(found, truth, w) if aligned else np.asarray(found, np.float64)
    return float((w * np.linalg.norm(moved - truth, axis=1)).sum() / w.sum())


def _normals(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> Array:
    corner = np.asarray(vertices, np.float64)[triangles]
    return np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
