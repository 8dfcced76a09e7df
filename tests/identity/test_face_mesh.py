"""The Face Mesh network against TensorFlow Lite, against dlib's landmarks, and against turned pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from id3d_engine.identity.face_mesh import POINTS, aligned, face_points, load_face_mesh
from id3d_engine.identity.faces import Face

# What ai-edge-litert 2.3 gives for MediaPipe's face_landmark.tflite on numpy's default_rng(0).random: points
# 0, 1, 33, 152, 263, 467 and the logit of a face.
REFERENCE = np.array(
    [[97.1818, 118.0769, -12.0517], [99.3393, 102.2856, -25.7866], [52.0447, 70.1932, 1.1979],
     [95.0896, 159.4163, 6.4680], [136.0530, 71.9204, 11.5150], [137.8029, 67.7732, 9.7110]]
)  # fmt: skip
LOGIT = -10.5753


def test_the_network_is_mediapipes() -> None:
    pixels = np.random.default_rng(0).random((1, 192, 192, 3), np.float32)
    points, logits = load_face_mesh().network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    np.testing.assert_allclose(points[0, [0, 1, 33, 152, 263, 467]].numpy(), REFERENCE, atol=2e-3)
    assert float(logits) == pytest.approx(LOGIT, abs=1e-3)


@pytest.fixture(scope="module")
def shot(portrait, dlib_encoder) -> tuple[np.ndarray, Face]:
    return portrait, dlib_encoder.faces(portrait)[0]


def test_eyes_and_nose_lie_where_dlib_sees_them(shot, dlib_encoder) -> None:
    """dlib's five: both eyes' outer and inner corners, each eye's, and the nose's base."""
    image, face = shot
    left, top, right, bottom = (round(v) for v in face.box)
    shape = dlib_encoder._landmarks(image, dlib_encoder._dlib.rectangle(left, top, right, bottom))
    seen = np.array([(shape.part(i).x, shape.part(i).y) for i in range(5)])
    found = face_points(image, face)
    assert found.presence > 0.99 and found.points.shape == (POINTS, 3)
    ours = found.points[[263, 362, 33, 133, 2], :2]
    assert np.linalg.norm(ours - seen, axis=1).max() < 0.05 * (right - left)


def test_turned_smaller_and_moved_pictures_give_the_same_points(shot) -> None:
    image, face = shot
    before = face_points(image, face)
    size = np.array([image.shape[1], image.shape[0]])
    left, top, right, bottom = face.box
    pixels = Image.fromarray(image)
    wide = (right - left) / 100
    half = np.asarray(pixels.resize(tuple(size // 2), Image.Resampling.BOX))
    smaller = face_points(half, Face((left / 2, top / 2, right / 2, bottom / 2), 1.0))
    assert np.linalg.norm(2 * smaller.points - before.points, axis=1).mean() < 2 * wide
    middle, angle = size / 2, np.radians(20)
    turned = np.asarray(pixels.rotate(20, Image.Resampling.BICUBIC))
    # A positive angle of PIL's turns against the clock; y runs down.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    x, y = turn @ (np.array([left + right, top + bottom]) / 2 - middle) + middle
    reach = (right - left) / 2
    found = face_points(turned, Face((x - reach, y - reach, x + reach, y + reach), 1.0))
    expected = (before.points[:, :2] - middle) @ turn.T + middle
    assert np.linalg.norm(found.points[:, :2] - expected, axis=1).mean() < 2 * wide


def test_a_wall_is_no_face() -> None:
    wall = np.random.default_rng(0).integers(100, 130, (200, 200, 3)).astype(np.uint8)
    assert face_points(wall, Face((50, 50, 150, 150), 1.0)).presence < 0.1


def test_sides_are_paired() -> None:
    mesh = load_face_mesh()
    assert (mesh.mirror[mesh.mirror] == np.arange(POINTS)).all()
    np.testing.assert_allclose(mesh.mean[mesh.mirror] * [-1, 1, 1], mesh.mean, atol=1e-6)
    assert (mesh.mean**2).sum(1).mean() == pytest.approx(1)


def test_alignment_undoes_a_similarity() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    np.testing.assert_allclose(aligned(0.3 * points @ turn + [1, 2, 3], points), points, atol=1e-10)
    # A mirror image is no turned one.
    assert np.abs(aligned(points * [-1, 1, 1], points) - points).max() > 0.1
