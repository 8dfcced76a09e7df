"""What a face recogniser has to offer, and the two that there are."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .faces import Face

# Name -> how many numbers it makes of a face.
DIMENSIONS = {"dlib": 128, "arcface": 512}
ENCODERS = tuple(DIMENSIONS)


class Encoder(Protocol):
    """Face detection and embedding by one recogniser. Embeddings of two encoders never compare.

    Attributes:
        name: One of `ENCODERS`; part of every identity file.
        dimensions: Length D of an embedding.
        unit_length: Whether embeddings are normalised (then a mean has to be, too).
        same_person: Euclidean distance below which two embeddings count as one person.
        notice: What a user has to know before relying on its weights, or "".
    """

    name: str
    dimensions: int
    unit_length: bool
    same_person: float
    notice: str

    def faces(self, image: NDArray[np.uint8]) -> list[Face]:
        """All faces in an (H, W, 3) uint8 RGB image."""
        ...

    def quick_face(self, image: NDArray[np.uint8]) -> Face:
        """The largest face of a render, by the quickest detection that finds one.

        Raises:
            InputError: there is none.
        """
        ...

    def embed_face(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.float32]:
        """(D,) float32 embedding of a face that was found in `image`."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of the recogniser's weight file, for provenance."""
        ...


@lru_cache(maxsize=2)
def load_encoder(name: str = "dlib") -> Encoder:
    """An encoder by name, loaded once a process.

    Raises:
        InputError: no encoder has this name.
        MissingDependency: its package or its weights are not installed.
    """
    if name == "dlib":
        from .dlib_encoder import DlibEncoder

        return DlibEncoder()
    if name == "arcface":
        from .arcface_encoder import ArcFaceEncoder

        return ArcFaceEncoder()
    raise InputError(f"unknown identity encoder {name!r}: choose one of {', '.join(ENCODERS)}")
