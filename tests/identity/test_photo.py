from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from id3d_engine.errors import InputError
from id3d_engine.identity import load_photo


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_formats_give_the_same_picture(portrait_image, portrait, tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    portrait_image.save(path, quality=95)
    loaded = load_photo(path)
    assert loaded.dtype == np.uint8 and loaded.shape == portrait.shape
    assert np.abs(loaded.astype(int) - portrait).mean() < 3


def test_exif_rotation_is_applied(portrait_image, portrait, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    portrait_image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(load_photo(tmp_path / "turned.png"), portrait)


def test_transparency_is_laid_over_grey(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (250, 10, 20, 255)
    Image.fromarray(pixels).save(tmp_path / "cutout.png")
    loaded = load_photo(tmp_path / "cutout.png")
    assert (loaded[:2] == (250, 10, 20)).all() and (loaded[2:] == 128).all()


def test_sixteen_bit_grey_keeps_its_tones(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(4, axis=0)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    loaded = load_photo(tmp_path / "grey.png")
    assert loaded.shape == (4, 64, 3)
    np.testing.assert_allclose(loaded[0, :, 1], np.linspace(0, 255, 64), atol=0.51)


def test_a_huge_photo_is_reduced(tmp_path):
    Image.new("RGB", (9000, 3000), (40, 80, 120)).save(tmp_path / "huge.jpg")
    loaded = load_photo(tmp_path / "huge.jpg")
    assert max(loaded.shape) == 4096
    assert abs(loaded.shape[1] / loaded.shape[0] - 3) < 0.01


def test_wrong_path(tmp_path):
    with pytest.raises(InputError, match=r"there is no photo at .*nobody\.jpg: check the path"):
        load_photo(tmp_path / "nobody.jpg")


def test_folder(tmp_path):
    with pytest.raises(InputError, match="is a folder: name the photos in it"):
        load_photo(tmp_path)


def test_not_an_image(tmp_path):
    (tmp_path / "notes.jpg").write_text("not a picture")
    with pytest.raises(InputError, match=r"notes\.jpg is not an image that can be read: use a PNG, JPEG"):
        load_photo(tmp_path / "notes.jpg")


def test_truncated_image(portrait_path, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(portrait_path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"cut\.jpg cannot be read as an image \(the file is damaged\)"):
        load_photo(tmp_path / "cut.jpg")


def test_absurd_size(tmp_path, monkeypatch):
    Image.new("L", (300, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"bomb\.png has too many pixels"):
        load_photo(tmp_path / "bomb.png")
