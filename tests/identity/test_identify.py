from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from id3d_engine.errors import InputError
from id3d_engine.identity import Identity, distance, identify
from id3d_engine.identity.faces import Face
from id3d_engine.identity.identify import _agreeing, _Read


@pytest.fixture(scope="module")
def versions(portrait_path, portrait_image, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    ImageEnhance.Brightness(portrait_image).enhance(0.6).save(folder / "dark.jpg", quality=60)
    portrait_image.crop((60, 0, 400, 340)).rotate(8).save(folder / "crop.png")
    return [portrait_path, folder / "dark.jpg", folder / "crop.png"]


def test_the_same_person_stays_close_and_photos_are_averaged(versions, dlib_encoder):
    singles = [identify(path) for path in versions]
    together = identify(versions)
    assert together.sources == 3 and together.encoder == "dlib"
    np.testing.assert_allclose(together.embedding, np.mean([s.embedding for s in singles], axis=0), atol=1e-6)
    assert max(distance(singles[0], single) for single in singles) < 0.35
    np.testing.assert_allclose(together.measures, np.mean([s.measures for s in singles], axis=0), atol=1e-5)
    np.testing.assert_allclose(
        together.silhouette, np.nanmedian([s.silhouette for s in singles], axis=0), atol=1e-6
    )
    # One photo is darker, which is the skin's business and not the hair's.
    assert np.ptp([s.colours[0] for s in singles]) > 0.5
    assert np.ptp([s.colours[3] for s in singles]) < 0.5


def test_somebody_else_is_far_and_left_out(versions, group_photo):
    said: list[str] = []
    mixed = identify([*versions[:2], group_photo], notes=said.append)
    assert mixed.sources == 2
    assert distance(mixed, identify(versions[:2])) == 0
    assert any("t1.jpg shows 6 faces; the largest" in note for note in said)
    assert any("t1.jpg was left out: it seems to show somebody else (distance 0." in note for note in said)
    assert distance(identify(group_photo), mixed) > 0.6


def test_six_people_are_six_people(group_photo, dlib_encoder):
    from id3d_engine.identity import load_photo

    image = load_photo(group_photo)
    faces = dlib_encoder.faces(image)
    assert len(faces) == 6
    people = np.stack([dlib_encoder.embed_face(image, face) for face in faces])
    apart = np.linalg.norm(people[:, None] - people[None], axis=-1)[np.triu_indices(6, 1)]
    assert apart.min() > 0.45 and np.median(apart) > 0.6


def test_two_people_without_a_majority(portrait_path, group_photo):
    with pytest.raises(InputError, match=r"\(portrait\.jpg and t1\.jpg are 0\.\d\d apart"):
        identify([portrait_path, group_photo])


def test_a_photo_without_a_face_is_left_out_when_others_remain(portrait_path, tmp_path):
    Image.new("RGB", (90, 90), (120, 130, 140)).save(tmp_path / "wall.png")
    said: list[str] = []
    assert identify([portrait_path, tmp_path / "wall.png"], notes=said.append).sources == 1
    assert len(said) == 1 and said[0].startswith("a photo was left out: no face was found in wall.png: use")
    with pytest.raises(InputError, match=r"no face was found in wall\.png"):
        identify(tmp_path / "wall.png")


def test_a_twenty_pixel_face(portrait_image, tmp_path):
    portrait_image.resize((110, 110), Image.Resampling.LANCZOS).save(tmp_path / "far.png")
    with pytest.raises(InputError, match=r"far\.png is \d\d pixels wide and at least 40 are needed"):
        identify(tmp_path / "far.png")


def test_a_wrong_path_stops_even_among_good_photos(portrait_path, tmp_path):
    with pytest.raises(InputError, match="there is no photo at"):
        identify([portrait_path, tmp_path / "typo.jpg"])


def test_no_photo_at_all():
    with pytest.raises(InputError, match="no photo was given"):
        identify([])


def test_the_same_path_twice_counts_once(portrait_path):
    assert identify([portrait_path, portrait_path]).sources == 1


class UnitEncoder:
    """A recogniser of flat colours: enough to test what `identify` does with any encoder."""

    name, dimensions, unit_length, same_person, notice = "unit", 3, True, 0.9, "for tests only"

    def faces(self, image):
        return [Face((0, 0, 50, 50), 1.0)]

    def embed_face(self, image, face):
        colour = image[0, 0].astype(np.float32)
        return colour / np.linalg.norm(colour)

    def fingerprint(self):
        return "0" * 64


def test_unit_length_encoders_stay_on_the_sphere_and_give_notice(tmp_path):
    for name, colour in {"a": (255, 0, 0), "b": (255, 120, 0)}.items():
        Image.new("RGB", (50, 50), colour).save(tmp_path / f"{name}.png")
    said: list[str] = []
    identity = identify([tmp_path / "a.png", tmp_path / "b.png"], UnitEncoder(), said.append)
    assert said == ["for tests only"]
    assert np.linalg.norm(identity.embedding) == pytest.approx(1)
    assert isinstance(identity, Identity) and identity.encoder == "unit"


def test_majority_wins_over_a_pair():
    def photo(name: str, *values: float) -> _Read:
        return _Read(name, Identity(np.array(values, np.float32)))

    crowd = [photo("x", 5, 0), photo("a", 0, 0), photo("b", 0.5, 0), photo("y", 5, 0.1), photo("c", 0.2, 0.3)]
    said: list[str] = []
    assert [kept.name for kept in _agreeing(crowd, UnitEncoder(), said.append)] == ["a", "b", "c"]
    assert [note.split()[0] for note in said] == ["x", "y"]
    with pytest.raises(InputError, match="show different people"):
        _agreeing(crowd[:4], UnitEncoder(), said.append)
