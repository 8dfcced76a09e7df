"""A face found in an image, and which of several is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

# Below this the recognisers see upsampled blur: dlib aligns to 150 px, ArcFace to 112 px.
SMALLEST_FACE_PX = 40


@dataclass(frozen=True, eq=False)
class Face:
    """Where a face is, in pixels of the image it was found in (x right, y down).

    Attributes:
        box: left, top, right, bottom; roughly from the brows to the chin.
        score: The detector's confidence; comparable within one image only.
        landmarks: (5, 2) float32 where the detector gives them, else None.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: NDArray[np.float32] | None = None

    @property
    def width_px(self) -> float:
        return self.box[2] - self.box[0]


def choose_face(faces: Sequence[Face], what: str) -> tuple[Face, str]:
    """The largest face, and a sentence for the user if there was a choice to make (else "").

    A doubtful detection (a tenth of the best score) never wins over a clear one by size alone.

    Args:
        faces: What a detector found.
        what: How to name the image in sentences.

    Raises:
        InputError: there is no face, or the largest is narrower than `SMALLEST_FACE_PX`.
    """
    if not faces:
        raise InputError(f"no face was found in {what}: use a sharp photo of one person facing the camera")
    best = max(face.score for face in faces)
    clear = [face for face in faces if face.score >= 0.1 * best]
    face = max(clear, key=lambda face: face.width_px)
    if face.width_px < SMALLEST_FACE_PX:
        raise InputError(
            f"the face in {what} is {face.width_px:.0f} pixels wide and at least {SMALLEST_FACE_PX} are "
            "needed: use a larger or closer photo"
        )
    if len(clear) == 1:
        return face, ""
    return face, f"{what} shows {len(clear)} faces; the largest ({face.width_px:.0f} pixels wide) was taken"
