"""What photographs say of a face besides who it is: its proportions.

A recogniser's embedding is made to be the same whatever face one makes, and it hardly holds how far the
jaw is from the brow. A face's points (`face_mesh.py`) hold that, with much that is not the person's: a
smile widens the mouth, a near lens the nose. The start regressor (`priors/start.py`) has seen smiles and
lenses, and knows what to believe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .face_mesh import POINTS, aligned, face_points, load_face_mesh
from .faces import Face

LENGTH = 3 * POINTS
SURELY = 0.5  # a crop that shows a face with less probability is not measured


def measure(image: NDArray[np.uint8], face: Face) -> NDArray[np.float32] | None:
    """(LENGTH,) numbers of one face of an (H, W, 3) uint8 RGB photograph; None if there is hardly one."""
    found = face_points(image, face)
    return proportions(found.points) if found.presence >= SURELY else None


def proportions(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(LENGTH,) numbers of a face's (POINTS, 3) points.

    The points are turned and scaled so that pose and distance do not count, and averaged with their mirror
    image, so that a crooked smile does not; in units of the mean face's root mean square radius.
    """
    mesh = load_face_mesh()
    shape = aligned(points, mesh.mean)
    mirrored = aligned(shape[mesh.mirror] * np.array([-1.0, 1.0, 1.0]), mesh.mean)
    return ((shape + mirrored) / 2).ravel().astype(np.float32)
