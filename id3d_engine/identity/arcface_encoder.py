"""ArcFace through insightface: the encoder of published SD-1.5 identity adapters.

insightface's code is MIT; the weights of `buffalo_l` are for non-commercial research only. They
are never downloaded from here: the user fetches them, or the encoder says what is missing.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..digest import sha256_of
from ..errors import InputError, MissingDependency
from .faces import Face, choose_face

DEFAULT_FOLDER = Path("~/.insightface/models/buffalo_l")
_DETECTOR = "det_10g.onnx"
_RECOGNISER = "w600k_r50.onnx"


class ArcFaceEncoder:
    """ResNet-50 on WebFace600K (`buffalo_l`), 512 numbers of unit length (`normed_embedding`).

    `same_person` is a cosine of 0.35, a customary threshold for this network.

    Args:
        folder: Holds `det_10g.onnx` and `w600k_r50.onnx`; by default insightface's own place.

    Raises:
        MissingDependency: insightface or one of the two files is missing; names which, and where to.
    """

    name = "arcface"
    dimensions = 512
    unit_length = True
    same_person = float(np.sqrt(2 - 2 * 0.35))
    notice = (
        "ArcFace's weights (insightface buffalo_l) are for non-commercial research only; "
        "the default encoder, dlib, is free for any use"
    )

    def __init__(self, folder: Path | str | None = None) -> None:
        self._folder = Path(folder or DEFAULT_FOLDER).expanduser()
        for name in (_DETECTOR, _RECOGNISER):
            if not (self._folder / name).is_file():
                raise MissingDependency(
                    f"ArcFace needs {self._folder / name}: unpack buffalo_l.zip of insightface's model zoo "
                    "(github.com/deepinsight/insightface, non-commercial research only) there, or use the "
                    "dlib encoder"
                )
        try:
            from insightface.app import FaceAnalysis
        except ImportError as error:
            raise MissingDependency(
                "insightface is not installed: run `pip install insightface onnxruntime`, or use the dlib "
                "encoder"
            ) from error
        # A folder instead of a model name: insightface then has no reason to go to the network.
        self._analysis: Any = FaceAnalysis(
            name=str(self._folder),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
        )
        if "recognition" not in self._analysis.models:
            raise MissingDependency(
                f"{self._folder / _RECOGNISER} is not an ArcFace recogniser: unpack buffalo_l.zip again"
            )
        self._analysis.prepare(ctx_id=-1)

    def faces(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces in an (H, W, 3) uint8 RGB photograph, with landmarks (eyes, nose, mouth corners)."""
        boxes, landmarks = self._analysis.det_model.detect(_bgr(image))
        return [
            Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(box[4]), points)
            for box, points in zip(boxes, landmarks, strict=True)
        ]

    def quick_face(self, image: NDArray[np.uint8]) -> Face:
        """The largest face of a render; raises as `choose_face` does."""
        return choose_face(self.faces(image), "the render")[0]

    def embed_face(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """(512,) float32 of unit length.

        insightface warps the five landmarks to its 112 px template, and the network reads
        RGB values as (x - 127.5) / 127.5.

        Raises:
            InputError: the face has no landmarks.
        """
        from insightface.app.common import Face as InsightFace

        if face.landmarks is None:
            raise InputError("ArcFace aligns by five landmarks: pass a face that its own detector found")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # its use of scikit-image's estimate()
            found = InsightFace(kps=face.landmarks)
            embedding = self._analysis.models["recognition"].get(_bgr(image), found)
        return (embedding / np.linalg.norm(embedding)).astype(np.float32)

    def fingerprint(self) -> str:
        """SHA-256 of the recogniser's weight file."""
        return sha256_of(self._folder / _RECOGNISER)


def _bgr(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[..., ::-1])
