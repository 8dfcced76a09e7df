"""A photograph from disk to pixels: upright, RGB, 8 bit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

# Enough for a face of 1000 px in a group photo; above it only memory grows.
LARGEST_SIDE = 4096


def load_photo(path: Path | str, largest_side: int = LARGEST_SIDE) -> NDArray[np.uint8]:
    """Read a photograph.

    EXIF rotation is applied, transparency is laid over mid grey, 16-bit and grey images become
    8-bit RGB, and a longer side than `largest_side` is reduced to it.

    Returns:
        (H, W, 3) uint8, sRGB, row 0 = top.

    Raises:
        InputError: there is no such file, it is a folder, or it cannot be read as an image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the photos in it, for example {path / '*.jpg'}")
    if not path.is_file():
        raise InputError(f"there is no photo at {path}: check the path")
    try:
        with warnings.catch_warnings():
            # Large is fine (it is reduced below); Pillow still refuses absurd sizes with an error.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                file.draft("RGB", (largest_side, largest_side))  # JPEG: decode at a fraction
                image = ImageOps.exif_transpose(file)
                image.thumbnail((largest_side, largest_side), Image.Resampling.LANCZOS)
                return _rgb8(image)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not an image that can be read: use a PNG, JPEG or WebP photo") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} has too many pixels: use a photo of at most 10,000 x 10,000") from error
    except (OSError, SyntaxError, ValueError) as error:
        reason = "permission denied" if isinstance(error, PermissionError) else "the file is damaged"
        raise InputError(f"{path} cannot be read as an image ({reason}): save it again as JPEG") from error


def _rgb8(image: Image) -> NDArray[np.uint8]:
    from PIL import Image as pil

    if image.mode == "F" or image.mode.startswith("I"):  # 16-bit grey, or float
        values = np.asarray(image, np.float64)
        values = values / (65535.0 if values.max() > 255 else 255.0 if values.max() > 1 else 1.0)
        grey = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        backdrop = pil.new("RGBA", image.size, (128, 128, 128, 255))
        image = pil.alpha_composite(backdrop, image)
    return np.array(image.convert("RGB"))
