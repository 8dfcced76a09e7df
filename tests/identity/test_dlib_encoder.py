from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from id3d_engine.errors import InputError, MissingDependency
from id3d_engine.identity import dlib_encoder as module
from id3d_engine.identity import load_encoder
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.identity.faces import choose_face


def test_finds_the_one_face_where_it_is(dlib_encoder, portrait):
    face, remark = choose_face(dlib_encoder.faces(portrait), "portrait")
    assert remark == ""
    left, top, right, bottom = face.box
    assert left < 225 < right and top < 115 < bottom  # the nose
    assert 70 < face.width_px < 130


def test_boxes_are_in_pixels_of_the_original(dlib_encoder, portrait_image):
    large = np.array(portrait_image.resize((2048, 2048), Image.Resampling.LANCZOS))
    face, _ = choose_face(dlib_encoder.faces(large), "large")
    assert face.box[0] < 4 * 225 < face.box[2] and 280 < face.width_px < 520


def test_a_small_face_is_found_and_measured(dlib_encoder, portrait_image):
    (face,) = dlib_encoder.faces(np.array(portrait_image.resize((110, 110), Image.Resampling.LANCZOS)))
    assert 15 < face.width_px < 30


def test_embedding_ignores_light_and_crop_but_is_not_constant(dlib_encoder, portrait, portrait_image):
    reference = dlib_encoder.embed(portrait)
    dark = np.array(ImageEnhance.Brightness(portrait_image).enhance(0.5).crop((110, 10, 360, 260)))
    apart = np.linalg.norm(dlib_encoder.embed(dark) - reference)
    assert 0.001 < apart < 0.35
    assert reference.shape == (128,) and reference.dtype == np.float32


def test_known_box_replaces_detection(dlib_encoder, portrait):
    face, _ = choose_face(dlib_encoder.faces(portrait), "portrait")
    with_box = dlib_encoder.embed(portrait, box=face.box)
    np.testing.assert_array_equal(with_box, dlib_encoder.embed_face(portrait, face))
    assert np.linalg.norm(with_box - dlib_encoder.embed(portrait)) < 0.25


def test_the_mirror_image_is_the_same_person(dlib_encoder, portrait):
    flipped = np.ascontiguousarray(portrait[:, ::-1])
    (face, _), (other, _) = (choose_face(dlib_encoder.faces(i), "") for i in (portrait, flipped))
    # The detector and the landmarks are not quite symmetric; the average of both sides is.
    apart = dlib_encoder.embed_face(portrait, face) - dlib_encoder.embed_face(flipped, other)
    assert np.linalg.norm(apart) < 0.12


def test_the_same_image_gives_the_same_bytes(dlib_encoder, portrait):
    assert dlib_encoder.embed(portrait).tobytes() == dlib_encoder.embed(portrait).tobytes()


def test_an_empty_picture_has_no_face(dlib_encoder):
    with pytest.raises(InputError, match="no face was found in the image"):
        dlib_encoder.embed(np.full((96, 96, 3), 128, np.uint8))


def test_wrong_array(dlib_encoder):
    with pytest.raises(InputError, match=r"has to be \(H, W, 3\) uint8 RGB, not \(8, 8\) float64"):
        dlib_encoder.faces(np.zeros((8, 8)))


def test_fingerprint_is_the_published_file(dlib_encoder):
    assert len(dlib_encoder.fingerprint()) == 64


def test_the_68_point_model_is_never_opened():
    source = Path(module.__file__).read_text()
    assert "shape_predictor_68" not in source


def test_unknown_encoder():
    with pytest.raises(InputError, match="unknown identity encoder 'vgg': choose one of dlib, arcface"):
        load_encoder("vgg")


def test_missing_dlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingDependency, match="dlib is not installed: run `pip install dlib-bin"):
        DlibEncoder()


def test_missing_model_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="dlib's models are not installed"):
        DlibEncoder()


def test_missing_model_file(monkeypatch, tmp_path):
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(MissingDependency, match=r"resnet_model_v1\.dat is missing: run `pip install --force"):
        DlibEncoder()
