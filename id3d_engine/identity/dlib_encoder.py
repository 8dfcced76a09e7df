"""The default encoder: dlib's face recognition network, free for any use.

Three of the four files in PyPI's `face-recognition-models` are used: the recogniser, the
five-point landmarks and the CNN face detector. Their author (github.com/davisking/dlib-models)
releases them into the public domain (CC0). The fourth, 68-point landmarks, excludes commercial
use and is never opened.
"""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..digest import sha256_of
from ..errors import InputError, MissingDependency
from .faces import Face, choose_face

_RECOGNISER = "dlib_face_recognition_resnet_model_v1.dat"
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"
_CNN_DETECTOR = "mmod_human_face_detector.dat"

# The HOG detector's own faces are 80 px wide; each upsampling step halves what it can find.
_HOG_SIDE = 1024
# The CNN detector costs about 11 s a megapixel on one core.
_CNN_SIDE = 480
_RENDER_SIDE = 256


class DlibEncoder:
    """dlib's ResNet, 128 numbers, not normalised (length about 1.5).

    Its author trained it to keep one person within a ball of radius 0.6, hence `same_person`.

    Raises:
        MissingDependency: dlib or its model files are not installed.
    """

    name = "dlib"
    dimensions = 128
    unit_length = False
    same_person = 0.6
    notice = ""

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise MissingDependency(
                "dlib is not installed: run `pip install dlib-bin face-recognition-models`"
            ) from error
        self._dlib: Any = dlib
        self._folder = _model_folder()
        self._hog = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(self._folder / _LANDMARKS))
        self._recogniser = dlib.face_recognition_model_v1(str(self._folder / _RECOGNISER))

    @cached_property
    def _cnn(self) -> Any:
        return self._dlib.cnn_face_detection_model_v1(str(self._folder / _CNN_DETECTOR))

    def faces(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces in an (H, W, 3) uint8 RGB photograph.

        From cheap to dear, until one answers: HOG on at most 1024 px, the same upsampled twice,
        the CNN (turned or half-covered faces), HOG upsampled four times (to find, and then to
        refuse, a face that is too small). Half a second where the first finds nothing, seconds
        where the third finds nothing either.
        """
        return (
            self._hog_faces(image, _HOG_SIDE, 0)
            or self._hog_faces(image, _HOG_SIDE, 1)
            or self._cnn_faces(image)
            or self._hog_faces(image, _HOG_SIDE, 2)
        )

    def embed(
        self, image: NDArray[np.uint8], box: tuple[float, float, float, float] | None = None
    ) -> NDArray[np.float32]:
        """The quick path for training renders: one detection at 256 px.

        Args:
            image: (H, W, 3) uint8 RGB with one face, at least 40 px wide.
            box: left, top, right, bottom of the face in pixels (brows to chin), where the renderer
                knows it; detection (about 15 ms) is then left out.

        Returns:
            (128,) float32, as `embed_face` gives it for photographs; about 0.25 s on one core.

        Raises:
            InputError: no face was found.
        """
        return self.embed_face(image, self.quick_face(image) if box is None else Face(box, 1.0))

    def quick_face(self, image: NDArray[np.uint8]) -> Face:
        """The face of a training render, looked for at 256 px; about 15 ms.

        Raises:
            InputError: no face was found.
        """
        faces = self._hog_faces(image, _RENDER_SIDE, 0) or self._hog_faces(image, _RENDER_SIDE, 1)
        return choose_face(faces, "the image")[0]

    def embed_face(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """(128,) float32 embedding of one face.

        Aligned by the eyes' corners and the nose's base to 150 px. The mirror image is embedded too
        and averaged, at twice the time: over seven people in ten disturbed versions each it moved
        the same person from 0.247 to 0.225 apart on average, different ones from 0.772 to 0.756; ten
        random jitters (dlib's own remedy, ten times the time) did no better.

        Args:
            image: (H, W, 3) uint8 RGB.
            face: From `faces` on the same image.
        """
        left, top, right, bottom = (round(value) for value in face.box)
        rectangle = self._dlib.rectangle(left, top, right, bottom)
        image = np.ascontiguousarray(image)
        points = self._landmarks(image, rectangle)
        chip = self._dlib.get_face_chip(image, points, size=150, padding=0.25)
        chips = [chip, np.ascontiguousarray(chip[:, ::-1])]
        embeddings = [np.array(self._recogniser.compute_face_descriptor(chip)) for chip in chips]
        return np.mean(embeddings, axis=0).astype(np.float32)

    def fingerprint(self) -> str:
        """SHA-256 of the recogniser's weight file."""
        return sha256_of(self._folder / _RECOGNISER)

    def _hog_faces(self, image: NDArray[np.uint8], side: int, upsampling: int) -> list[Face]:
        small, scale = _reduce(image, side)
        boxes, scores, _ = self._hog.run(small, upsampling, 0.0)
        return [_face(box, score, scale) for box, score in zip(boxes, scores, strict=True)]

    def _cnn_faces(self, image: NDArray[np.uint8]) -> list[Face]:
        small, scale = _reduce(image, _CNN_SIDE)
        return [_face(found.rect, found.confidence, scale) for found in self._cnn(small, 0)]


def _model_folder() -> Path:
    # The package itself is not imported: it needs pkg_resources, which new setuptools lack.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise MissingDependency("dlib's models are not installed: run `pip install face-recognition-models`")
    folder = Path(spec.origin).parent / "models"
    for name in (_RECOGNISER, _LANDMARKS, _CNN_DETECTOR):
        if not (folder / name).is_file():
            raise MissingDependency(
                f"{folder / name} is missing: run `pip install --force-reinstall face-recognition-models`"
            )
    return folder


def _reduce(image: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """The image with its longer side at most `side`, and the factor back to its own pixels."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"an image has to be (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
    scale = max(image.shape[:2]) / side
    if scale <= 1:
        return np.ascontiguousarray(image), 1.0
    from PIL import Image

    height, width = image.shape[:2]
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)), scale


def _face(box: Any, score: float, scale: float) -> Face:
    corners = (box.left(), box.top(), box.right() + 1, box.bottom() + 1)
    left, top, right, bottom = (value * scale for value in corners)
    return Face((left, top, right, bottom), float(score))
