"""PNG files: exact, deterministic, and picky about what they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from id3d_engine.errors import InputError
from id3d_engine.png import encode_png, read_png, to_uint8


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)])
def test_pixels_survive(shape: tuple[int, ...], tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(encode_png(image))
    assert np.array_equal(read_png(tmp_path / "a.png"), image)
    assert encode_png(image.copy()) == encode_png(image)


def test_floats_are_rounded_and_clipped() -> None:
    values = np.array([-1.0, 0.0, 0.5, 1 / 255 * 1.4, 1.0, 2.0, np.nan])
    assert to_uint8(values).tolist() == [0, 0, 128, 1, 255, 255, 0]


def test_other_numbers_and_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be uint8 or floating point"):
        to_uint8(np.zeros((2, 2), np.int64))
    for shape in ((4,), (4, 4, 2), (4, 4, 5), (1, 4, 4, 3)):
        with pytest.raises(InputError, match=r"must be \(H, W\)"):
            encode_png(np.zeros(shape, np.uint8))
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_png(tmp_path / "a.png")
