"""PNG in and out, with the same bytes for the same array."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InputError

_MODES = {2: "L", 3: "RGB", 4: "RGBA"}


def to_uint8(image: NDArray) -> NDArray[np.uint8]:
    """Floats in [0, 1] become 0..255, rounded; uint8 is returned as it is.

    Raises:
        InputError: another kind of number.
    """
    image = np.asarray(image)
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(f"an image must be uint8 or floating point in [0, 1], not {image.dtype}")
    return np.rint(np.clip(np.nan_to_num(image), 0.0, 1.0) * 255.0).astype(np.uint8)


def encode_png(image: NDArray) -> bytes:
    """(H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, row 0 = top, to PNG bytes without metadata.

    Raises:
        InputError: another shape or kind of number.
    """
    pixels = np.ascontiguousarray(to_uint8(image))
    channels = 2 if pixels.ndim == 2 else pixels.shape[-1] if pixels.ndim == 3 else 0
    if channels not in _MODES or (pixels.ndim == 3 and channels == 2):
        raise InputError(f"an image must be (H, W), (H, W, 3) or (H, W, 4), not {pixels.shape}")
    size = (pixels.shape[1], pixels.shape[0])
    buffer = io.BytesIO()
    Image.frombytes(_MODES[channels], size, pixels.tobytes()).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def read_png(path: Path) -> NDArray[np.uint8]:
    """(H, W) uint8 of a grey file, (H, W, 3) or (H, W, 4) of a colour one, row 0 = top.

    Raises:
        InputError: the file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            return np.array(image if image.mode in _MODES.values() else image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{path} cannot be read as an image: {error}") from error
