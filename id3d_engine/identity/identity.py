"""One person's identity: embedding, measures, colours and silhouette, and nothing of the photos themselves.

All of these are personal data, and kept and sent as such.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

_SCHEMA = 1
_LATER = ("measures", "colours", "silhouette")  # what older files lack, in the order it came
_LARGEST_FILE = 1 << 20  # an identity file is some kilobytes; do not read a model by mistake


@dataclass(frozen=True, eq=False)
class Identity:
    """A face-recognition embedding and where it comes from.

    Attributes:
        embedding: (D,) float32, D = 128 for dlib, 512 (unit length) for ArcFace.
        encoder: The encoder's name; embeddings of two encoders never compare.
        sources: How many photos were averaged.
        measures: (M,) float32, the face's proportions (see `measures`), or None: then all that
            is known of the person is the embedding.
        colours: (len(colours.NAMES),) float32, what colour skin and hair have (see `colours`), or None.
        silhouette: (len(silhouette.NAMES),) float32, how the hair stands off the head (see `silhouette`;
            not a number where no photo shows it), or None.
    """

    embedding: NDArray[np.float32]
    encoder: str = "dlib"
    sources: int = 1
    measures: NDArray[np.float32] | None = None
    colours: NDArray[np.float32] | None = None
    silhouette: NDArray[np.float32] | None = None

    def sha256(self) -> str:
        """Of the encoder's name and what is known, as little-endian float32 bytes."""
        numbers = [np.asarray(part, "<f4").tobytes() for part in self._tensors().values()]
        return hashlib.sha256(b"".join([self.encoder.encode(), b"\0", *numbers])).hexdigest()

    def _tensors(self) -> dict[str, NDArray[np.float32]]:
        """What is known, in the order of the fields."""
        parts = {name: getattr(self, name) for name in ("embedding", *_LATER)}
        return {
            name: np.ascontiguousarray(part, np.float32) for name, part in parts.items() if part is not None
        }

    def save(self, path: Path | str) -> Path:
        """Write a `.id` file (safetensors), whole or not at all. It never holds a photo or its path.

        Raises:
            InputError: the place cannot be written to.
        """
        from safetensors.numpy import save

        path = Path(path)
        # One metadata entry: several would be written in an order that changes from run to run.
        facts = {"schema": _SCHEMA, "encoder": self.encoder, "sources": self.sources}
        payload = save(self._tensors(), {"identity": json.dumps(facts)})
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(payload)
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            reason = (error.strerror or "unknown reason").lower()
            raise InputError(f"cannot write {path} ({reason}): choose another place") from error
        return path

    @classmethod
    def load(cls, path: Path | str) -> Identity:
        """Read a `.id` file.

        Raises:
            InputError: there is no such file, or it is damaged or something else.
        """
        from safetensors import SafetensorError, safe_open

        from . import colours, silhouette

        path = Path(path)
        if not path.is_file():
            raise InputError(
                f"there is no identity file at {path}: make one with `id3d identity PHOTO --out FILE.id`"
            )
        broken = InputError(
            f"{path} is not an identity file or is damaged: make one with `id3d identity PHOTO --out FILE.id`"
        )
        if path.stat().st_size > _LARGEST_FILE:
            raise broken
        try:
            with safe_open(path, framework="np") as file:
                facts = json.loads((file.metadata() or {})["identity"])
                later = set(_LATER) & set(file.keys())
                tensors = {name: file.get_tensor(name) for name in ("embedding", *later)}
            encoder, sources, schema = str(facts["encoder"]), int(facts["sources"]), int(facts["schema"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise broken from error
        if schema > _SCHEMA:
            raise InputError(f"{path} was written by a newer version of ID3D: update this one to read it")
        lengths = {"colours": len(colours.NAMES), "silhouette": len(silhouette.NAMES)}
        for name, numbers in tensors.items():
            known = numbers[~np.isnan(numbers)] if name == "silhouette" else numbers
            if (
                numbers.shape != (lengths.get(name, numbers.size),)
                or numbers.dtype != np.float32
                or not np.isfinite(known).all()
            ):
                raise broken
        return cls(encoder=encoder, sources=sources, **tensors)


def distance(a: Identity, b: Identity) -> float:
    """Euclidean distance of two embeddings; compare it with the encoder's `same_person`.

    Raises:
        InputError: they come from different encoders.
    """
    if a.encoder != b.encoder or a.embedding.shape != b.embedding.shape:
        raise InputError(
            f"identities of two encoders ({a.encoder} and {b.encoder}) cannot be compared: "
            "make both with the same --encoder"
        )
    return float(np.linalg.norm(a.embedding.astype(np.float64) - b.embedding.astype(np.float64)))
