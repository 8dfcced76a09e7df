"""The binary half of a GLB: accessors, sparse where that is smaller, images, and the container.

Layout after the glTF 2.0 specification, sections 3.6 (accessors) and 4 (GLB).
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
_COMPONENT = {np.dtype(np.uint8): 5121, np.dtype(np.uint16): 5123, np.dtype(np.uint32): 5125,
              np.dtype(np.float32): 5126}  # fmt: skip
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


class GlbBuffer:
    """Collects binary data and the JSON that describes it."""

    def __init__(self) -> None:
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []
        self._chunks: list[bytes] = []
        self._length = 0

    def view(self, data: bytes, target: int | None = None) -> int:
        """Add bytes; returns the buffer view's index."""
        entry: dict[str, Any] = {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)}
        if target is not None:
            entry["target"] = target
        padding = -len(data) % 4
        self._chunks.append(data + bytes(padding))
        self._length += len(data) + padding
        self.views.append(entry)
        return len(self.views) - 1

    def accessor(self, array: NDArray, target: int = ARRAY_BUFFER, *, bounds: bool = False) -> int:
        """Add (N,) or (N, C) numbers; returns the accessor's index. `bounds` adds min and max."""
        entry = self._describe(array, bounds)
        entry["bufferView"] = self.view(np.ascontiguousarray(array).tobytes(), target)
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def sparse_accessor(self, array: NDArray[np.float32], *, bounds: bool = False) -> int:
        """As `accessor`, but rows that are zero cost nothing where that makes the file smaller."""
        rows = np.flatnonzero(np.any(array != 0, axis=1))
        if not len(rows):
            rows = np.zeros(1, np.int64)  # an explicit zero: some readers expect data in every accessor
        indices = rows.astype(np.uint16 if len(array) <= 65535 else np.uint32)
        values = np.ascontiguousarray(array[rows])
        if indices.nbytes + values.nbytes >= array.nbytes:
            return self.accessor(array, bounds=bounds)
        entry = self._describe(array, bounds)
        entry["sparse"] = {
            "count": len(rows),
            "indices": {
                "bufferView": self.view(indices.tobytes()),
                "componentType": _COMPONENT[indices.dtype],
            },
            "values": {"bufferView": self.view(values.tobytes())},
        }
        self.accessors.append(entry)
        return len(self.accessors) - 1

    def finish(self, document: dict[str, Any]) -> bytes:
        """The whole GLB: 12-byte header, JSON chunk, binary chunk."""
        document = document | {
            "buffers": [{"byteLength": self._length}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        binary = b"".join(self._chunks)
        total = 12 + 8 + len(text) + 8 + len(binary)
        return b"".join(
            [
                struct.pack("<4sII", b"glTF", 2, total),
                struct.pack("<I4s", len(text), b"JSON"),
                text,
                struct.pack("<I4s", len(binary), b"BIN\0"),
                binary,
            ]
        )

    @staticmethod
    def _describe(array: NDArray, bounds: bool) -> dict[str, Any]:
        components = 1 if array.ndim == 1 else array.shape[1]
        entry: dict[str, Any] = {
            "componentType": _COMPONENT[array.dtype],
            "count": len(array),
            "type": _TYPES[components],
        }
        if bounds:
            entry["min"] = array.min(axis=0).tolist()
            entry["max"] = array.max(axis=0).tolist()
        return entry
