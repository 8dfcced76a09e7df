"""Hair's colour is that of the hair, whatever lamp shines on it, and nothing where none is to be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from id3d_engine.assets.appearance import style_logits
from id3d_engine.assets.hair import hair_offsets
from id3d_engine.assets.photo import photo_like
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.identity.colours import NAMES, colours, together
from id3d_engine.identity.face_mesh import face_points
from id3d_engine.job import Job
from id3d_engine.template import load_template


@pytest.fixture(scope="module")
def points(portrait, dlib_encoder) -> np.ndarray:
    return face_points(portrait, dlib_encoder.faces(portrait)[0]).points


def lit(image: np.ndarray, lamp: tuple[float, float, float]) -> np.ndarray:
    """The photograph under another lamp: linear light times its colour."""
    srgb = image / 255
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) * lamp
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded.clip(0, 1)).astype(np.uint8)


def test_the_lamp_colours_the_skin_and_not_hair_over_skin(portrait, points):
    plain, warm = colours(portrait, points), colours(lit(portrait, (0.7, 0.5, 0.3)), points)
    np.testing.assert_allclose(warm[1:3] - plain[1:3], np.log([0.7 / 0.5, 0.5 / 0.3]), atol=0.08)
    np.testing.assert_allclose(warm[3:6], plain[3:6], atol=0.15)


def test_both_ways_round(portrait, points, dlib_encoder):
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    other = colours(mirrored, face_points(mirrored, dlib_encoder.faces(mirrored)[0]).points)
    np.testing.assert_allclose(other, colours(portrait, points), atol=0.1)


def test_the_portrait_shows_blond_brown_hair(portrait, points):
    found = dict(zip(NAMES, colours(portrait, points), strict=True))
    assert found["hair_seen"] == 1
    assert -2.5 < found["hair_light"] < -0.8, "darker than skin, and far from black"
    assert found["hair_red"] < 0.3 and found["hair_yellow"] > 0.4


def test_hair_of_other_colours_is_told_apart(dlib_encoder):
    template = load_template()
    asset = sample_asset(template, 3)
    look = replace(
        asset.appearance, style_logits=style_logits("short"), hair_grey=0.0, hair_volume=0.6, hairline=0.4
    )
    found = {}
    for name, melanin, red in (
        ("black", 1.0, 0.0),
        ("brown", 0.5, 0.0),
        ("ginger", 0.45, 1.0),
        ("fair", 0.15, 0.0),
    ):
        worn = replace(look, hair_melanin=melanin, hair_red=red)
        head = replace(asset, appearance=worn, neutral=asset.skin + hair_offsets(template, asset.skin, worn))
        photo = photo_like(head, template, Job(seed=5).generator("test", 0), strength=0.3)
        found[name] = colours(photo, face_points(photo, dlib_encoder.faces(photo)[0]).points)
    light, red = ({name: row[k] for name, row in found.items()} for k in (3, 4))
    assert light["black"] < light["brown"] - 0.8 and light["brown"] < light["fair"] - 0.8
    assert red["ginger"] > red["brown"] + 0.3


def test_without_a_view_of_hair_nothing_is_said_of_it(portrait, points):
    """The photograph ends at the brows."""
    top = int(points[[105, 334], 1].mean())
    cut = np.ascontiguousarray(portrait[top:])
    found = colours(cut, points - np.array([0, top, 0], np.float32))
    assert found[-1] < 0.6 and np.isfinite(found).all()
    np.testing.assert_allclose(found[:3], colours(portrait, points)[:3], atol=0.2)


@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_of_nothing_gives_numbers(portrait, points, value):
    assert np.isfinite(colours(np.full_like(portrait, value), points)).all()


def test_several_photographs_outvote_a_wrong_one():
    rows = np.tile(np.array([-1, 0.6, 0.4, -1.5, 0.1, 0.3, 1], np.float32), (4, 1))
    rows[0] = 3
    rows[1, 3:] = (9, 9, 9, 0)
    rows[0, -1] = 1
    np.testing.assert_allclose(together(list(rows)), rows[2], atol=1e-6)
