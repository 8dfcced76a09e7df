"""Measures of one person stay, whatever the photograph, and follow the proportions."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from id3d_engine.assets.photo import photo_like
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.identity.face_mesh import load_face_mesh
from id3d_engine.identity.faces import Face
from id3d_engine.identity.measures import LENGTH, measure
from id3d_engine.job import Job
from id3d_engine.template import load_template


@pytest.fixture(scope="module")
def shot(portrait, dlib_encoder) -> tuple[np.ndarray, Face]:
    return portrait, dlib_encoder.faces(portrait)[0]


def measured(image: np.ndarray, encoder) -> np.ndarray:
    found = measure(image, encoder.faces(image)[0])
    assert found is not None and found.shape == (LENGTH,) and np.isfinite(found).all()
    return found


def shape_of(found: np.ndarray) -> np.ndarray:
    return found.reshape(-1, 3)


def test_pose_does_not_count(shot, dlib_encoder) -> None:
    image, face = shot
    plain = measure(image, face)
    mirrored = measured(np.ascontiguousarray(image[:, ::-1]), dlib_encoder)
    turned = measured(np.asarray(Image.fromarray(image).rotate(15, Image.Resampling.BICUBIC)), dlib_encoder)
    for other in (mirrored, turned):
        assert np.linalg.norm(shape_of(other) - shape_of(plain), axis=1).mean() < 0.015


def test_they_are_symmetric(shot) -> None:
    found, mesh = shape_of(measure(*shot)), load_face_mesh()
    np.testing.assert_allclose(found[mesh.mirror] * [-1, 1, 1], found, atol=0.01)


def test_a_wider_face_measures_wider(shot, dlib_encoder) -> None:
    """The picture stretched by a fifth: the face's width over its height grows by about as much."""
    image, _ = shot

    def ratio(pixels: np.ndarray) -> float:
        points = shape_of(measured(pixels, dlib_encoder))
        return float((points[454, 0] - points[234, 0]) / (points[152, 1] - points[10, 1]))

    wide = np.asarray(Image.fromarray(image).resize((round(1.2 * image.shape[1]), image.shape[0])))
    assert 1.1 < ratio(wide) / ratio(image) < 1.25


def test_two_pictures_of_one_head_are_nearer_than_two_heads(dlib_encoder) -> None:
    template = load_template()
    found = []
    for seed in (3, 4, 6):
        asset = sample_asset(template, seed)
        for shot in range(2):
            photo = photo_like(asset, template, Job(seed=seed).generator("test", shot), strength=0.4)
            found.append(measured(photo, dlib_encoder))
    apart = np.linalg.norm(np.array(found)[:, None] - np.array(found)[None], axis=2)
    own = [apart[2 * i, 2 * i + 1] for i in range(3)]
    others = apart[~np.kron(np.eye(3, dtype=bool), np.ones((2, 2), bool))]
    assert max(own) < others.min()


def test_no_face_is_not_measured() -> None:
    wall = np.random.default_rng(0).integers(100, 130, (200, 200, 3)).astype(np.uint8)
    assert measure(wall, Face((50, 50, 150, 150), 1.0)) is None
