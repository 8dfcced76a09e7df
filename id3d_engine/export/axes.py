"""The one place where Blender's axes become those of GLB and OBJ files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_y_up(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """(..., 3) Blender axes (Z up, face to -Y) -> (..., 3) float32, Y up and face to +Z.

    A rotation, so it serves positions, offsets and normals alike, and keeps the winding.
    """
    x, y, z = np.moveaxis(np.asarray(vectors, np.float32), -1, 0)
    return np.stack([x, z, -y], axis=-1)


def to_z_up(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The inverse of `to_y_up`."""
    x, y, z = np.moveaxis(np.asarray(vectors, np.float32), -1, 0)
    return np.stack([x, -z, y], axis=-1)


def flip_v(uv: NDArray[np.floating]) -> NDArray[np.float32]:
    """(..., 2) uv with v up -> v down, as GLB wants it; and back."""
    uv = np.asarray(uv, np.float32)
    return np.stack([uv[..., 0], 1.0 - uv[..., 1]], axis=-1)
