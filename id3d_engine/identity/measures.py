"""What photographs say of a face besides who it is: its proportions, and its colours.

A recogniser's embedding is made to be the same whatever the light and the hair do, and it hardly holds
how far the jaw is from the brow. A face's points (`face_mesh.py`) hold that; the colours about them hold
skin, lips, brows, beard and hair. Both are noisy, of one photograph: a smile widens the mouth, a lamp
warms the skin. The start regressor (`priors/start.py`) has seen smiles and lamps, and knows what to believe.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .face_mesh import POINTS, aligned, face_points, load_face_mesh
from .faces import Face

SURELY = 0.5  # a crop that shows a face with less probability is not measured
_DARKEST = 0.02
_SPOT = 0.015  # radius of the patch whose colour counts, over the face's height
# Points of the mesh that span the face: forehead, chin, and both sides; and around the eyes.
_TOP, _BOTTOM, _SIDES = 10, 152, (234, 454)
_EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
# Places of hair, over the face's height and width: above the forehead, and beside the cheeks (up, out).
_ABOVE = tuple((up, across) for up in (0.1, 0.22, 0.36) for across in (-0.3, 0.0, 0.3))
_BESIDE = tuple((up, out) for up in (0.1, -0.35, -0.7) for out in (0.12, 0.28))
PLACES = POINTS + len(_ABOVE) + 2 * len(_BESIDE) + len(_EYES)
SHAPE_LENGTH = 3 * POINTS
LENGTH = SHAPE_LENGTH + 3 * PLACES


def measure(image: NDArray[np.uint8], face: Face) -> NDArray[np.float32] | None:
    """(LENGTH,) numbers of one face of an (H, W, 3) uint8 RGB photograph; None if there is hardly one.

    First the 468 points, turned and scaled so that pose and distance do not count, then the logarithms of
    the sRGB colours at them and at places of hair and irises. Both are averaged with their mirror images,
    so that neither a crooked smile nor the lamp's side counts.
    """
    found = face_points(image, face)
    if found.presence < SURELY:
        return None
    mesh = load_face_mesh()
    shape = aligned(found.points, mesh.mean)
    mirrored = shape[mesh.mirror] * np.array([-1.0, 1.0, 1.0])
    colours = np.log(np.maximum(_colours(image, found.points.astype(np.float64)), _DARKEST))
    both = (shape + aligned(mirrored, mesh.mean)) / 2, (colours + colours[_mirror(mesh.mirror)]) / 2
    return np.concatenate([part.ravel() for part in both]).astype(np.float32)


def _places(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """(PLACES, 2) pixels whose colour is taken, from the (468, 3) points."""
    flat = points[:, :2]
    up, across = flat[_TOP] - flat[_BOTTOM], flat[_SIDES[1]] - flat[_SIDES[0]]
    hair = [flat[_TOP] + high * up + wide * across for high, wide in _ABOVE]
    for side, sign in zip(_SIDES, (-1, 1), strict=True):
        hair += [flat[side] + high * up + sign * out * across for high, out in _BESIDE]
    return np.concatenate([flat, hair, [flat[list(eye)].mean(axis=0) for eye in _EYES]])


def _mirror(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """(PLACES,) the place on the other side of each."""
    above = np.arange(len(_ABOVE)).reshape(-1, 3)[:, ::-1].ravel()
    sides = np.arange(2 * len(_BESIDE)).reshape(2, -1)[::-1].ravel()
    start = np.cumsum([POINTS, len(above), len(sides)])
    return np.concatenate([points, start[0] + above, start[1] + sides, start[2] + np.array([1, 0])])


def _colours(image: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """(PLACES, 3) sRGB from 0 to 1, each of a soft patch; beyond the picture, of its edge."""
    height = float(np.linalg.norm(points[_TOP, :2] - points[_BOTTOM, :2]))
    # Shrunk until the patch is some pixels wide, then blurred: cheap for large photographs, too.
    scale = min(1.5 / (_SPOT * height), 1.0)
    picture = Image.fromarray(image)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    small = picture.resize(size, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(1.0))
    pixels = np.asarray(small, np.float32) / 255
    place = np.floor(_places(points) * (np.array(size) / (picture.width, picture.height))).astype(int)
    x, y = np.clip(place, 0, np.array(size) - 1).T
    return pixels[y, x]
