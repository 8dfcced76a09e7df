"""ArcFace without its weights: tiny ONNX files of the same interface, against a float64 reference."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from id3d_engine.errors import InputError, MissingDependency
from id3d_engine.identity import load_encoder
from id3d_engine.identity.arcface_encoder import ArcFaceEncoder
from id3d_engine.identity.faces import Face

SIDE = 640
ANCHOR_STRIDE = 32
ANCHOR = (7, 5)  # column, row: pixel (224, 160)
# Eye, eye, nose, mouth corner, mouth corner of the portrait scaled to 640 px.
POINTS = np.array([[255, 130], [308, 131], [280, 165], [262, 190], [300, 191]], np.float64)
# The template that ArcFace networks are trained on, 112 px.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("insightface")
    folder = tmp_path_factory.mktemp("buffalo_l")
    onnx.save(tiny_detector(onnx), folder / "det_10g.onnx")
    onnx.save(tiny_recogniser(onnx), folder / "w600k_r50.onnx")
    return folder


def tiny_detector(onnx):
    """SCRFD's interface (nine outputs, three strides, two anchors); one anchor always fires."""
    nodes, outputs = [], []
    for kind, width in (("score", 1), ("box", 4), ("points", 10)):
        for stride in (8, 16, 32):
            cells = SIDE // stride
            values = np.zeros((cells * cells * 2, width), np.float32)
            if stride == ANCHOR_STRIDE:
                row = (ANCHOR[1] * cells + ANCHOR[0]) * 2
                centre = np.array(ANCHOR) * stride
                values[row] = {
                    "score": 0.9,
                    "box": np.array([20, 60, 150, 90]) / stride,
                    "points": ((POINTS - centre) / stride).ravel(),
                }[kind]
            name = f"{kind}_{stride}"
            tensor = onnx.numpy_helper.from_array(values, f"{name}_value")
            nodes.append(onnx.helper.make_node("Constant", [], [name], value=tensor))
            outputs.append(onnx.helper.make_tensor_value_info(name, 1, values.shape))
    image = onnx.helper.make_tensor_value_info("input.1", 1, [1, 3, SIDE, SIDE])
    return finished(onnx, nodes, [image], outputs, [])


def recogniser_weights():
    random = np.random.default_rng(11)
    return {
        "kernel": random.normal(size=(8, 3, 16, 16)).astype(np.float32) / 16,
        "matrix": random.normal(size=(8 * 7 * 7, 512)).astype(np.float32) / 20,
    }


def tiny_recogniser(onnx):
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in recogniser_weights().items()]
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["input.1", "kernel"], ["conv"], strides=[16, 16]),
        make("Flatten", ["conv"], ["flat"]),
        make("MatMul", ["flat", "matrix"], ["683"]),
    ]
    image = onnx.helper.make_tensor_value_info("input.1", 1, [1, 3, 112, 112])
    return finished(onnx, nodes, [image], [onnx.helper.make_tensor_value_info("683", 1, [1, 512])], weights)


def finished(onnx, nodes, inputs, outputs, weights):
    graph = onnx.helper.make_graph(nodes, "tiny", inputs, outputs, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def aligned(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(112, 112, 3) float64: the least-squares similarity (no mirror) to the template, sampled bilinearly."""
    design, target = [], []
    for (x, y), (u, v) in zip(points, TEMPLATE, strict=True):
        design += [[x, -y, 1, 0], [y, x, 0, 1]]
        target += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(design), np.array(target), rcond=None)[0]
    forward = np.array([[a, -b, tx], [b, a, ty], [0, 0, 1]])
    v, u = np.mgrid[:112, :112]
    x, y, _ = np.linalg.inv(forward) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    pixel = image.astype(np.float64)
    upper = pixel[top, left] * (1 - fx) + pixel[top, left + 1] * fx
    lower = pixel[top + 1, left] * (1 - fx) + pixel[top + 1, left + 1] * fx
    return (upper * (1 - fy) + lower * fy).reshape(112, 112, 3)


def reference(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    weights = {name: value.astype(np.float64) for name, value in recogniser_weights().items()}
    blob = (aligned(image, points) - 127.5) / 127.5
    tiles = blob.reshape(7, 16, 7, 16, 3)  # row, y, column, x, RGB
    features = np.einsum("rycxk,okyx->orc", tiles, weights["kernel"]).ravel()
    embedding = features @ weights["matrix"]
    return embedding / np.linalg.norm(embedding)


@pytest.fixture(scope="module")
def picture(portrait_image):
    return np.array(portrait_image.resize((SIDE, SIDE)))


def test_detects_aligns_and_embeds_like_the_reference(model_folder, picture):
    encoder = ArcFaceEncoder(model_folder)
    (face,) = encoder.faces(picture)
    np.testing.assert_allclose(face.box, (204, 100, 374, 250), atol=1e-3)
    np.testing.assert_allclose(face.landmarks, POINTS, atol=1e-3)
    assert encoder.quick_face(picture).box == face.box
    embedding = encoder.embed_face(picture, face)
    assert embedding.shape == (512,) and embedding.dtype == np.float32
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-6)
    # The package warps with 5-bit weights and rounds to 8 bits; the reference does neither.
    assert embedding @ reference(picture, POINTS) > 0.9995
    # The check can fail: wrong channel order, or a wrong alignment, is visibly worse.
    assert embedding @ reference(picture[..., ::-1], POINTS) < 0.99
    assert embedding @ reference(picture, POINTS + np.array([4, 0])) < 0.99


def test_a_face_of_another_detector_is_refused(model_folder, picture):
    with pytest.raises(InputError, match="ArcFace aligns by five landmarks"):
        ArcFaceEncoder(model_folder).embed_face(picture, Face((0, 0, 50, 50), 1.0))


def test_two_files_swapped(model_folder, tmp_path):
    (tmp_path / "det_10g.onnx").write_bytes((model_folder / "det_10g.onnx").read_bytes())
    (tmp_path / "w600k_r50.onnx").write_bytes((model_folder / "det_10g.onnx").read_bytes())
    with pytest.raises(MissingDependency, match=r"w600k_r50\.onnx is not an ArcFace recogniser"):
        ArcFaceEncoder(tmp_path)


def test_missing_weights_say_which_file_goes_where(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    load_encoder.cache_clear()
    expected = r"ArcFace needs .*/\.insightface/models/buffalo_l/det_10g\.onnx: unpack buffalo_l\.zip"
    with pytest.raises(MissingDependency, match=expected):
        load_encoder("arcface")
    assert list(tmp_path.iterdir()) == []  # nothing was fetched or created


def test_missing_package(model_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "insightface.app", None)
    with pytest.raises(MissingDependency, match="insightface is not installed: run `pip install insightface"):
        ArcFaceEncoder(model_folder)


def test_the_licence_is_said():
    assert "non-commercial research only" in ArcFaceEncoder.notice
