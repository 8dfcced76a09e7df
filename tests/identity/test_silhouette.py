"""The network against TensorFlow Lite, and numbers of drawn heads against what was drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from id3d_engine.identity.face_mesh import face_points, load_face_mesh
from id3d_engine.identity.silhouette import NAMES, measured, silhouette, together
from id3d_engine.identity.silhouette_network import SIDE, person_in

# What ai-edge-litert 2.3 gives for MediaPipe's selfie_segmentation.tflite on the portrait: means of squares
# of 64 pixels.
REFERENCE = np.array(
    [[3.2263e-05, 6.0564e-01, 2.3726e-01, 6.3674e-06], [1.5660e-01, 9.0032e-01, 2.3046e-01, 0.0],
     [7.7810e-01, 1.0, 8.6142e-01, 1.7805e-01], [9.2687e-01, 9.2193e-01, 9.8076e-01, 8.6755e-01]]
)  # fmt: skip

UNIT, SIZE = 60, 640
BACKGROUND, SKIN, HAIR = (40, 90, 160), (214, 170, 145), (60, 38, 25)


def test_the_network_is_mediapipes(portrait_image) -> None:
    small = np.array(portrait_image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    found = person_in(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)[0].numpy()
    np.testing.assert_allclose(found.reshape(4, 64, 4, 64).mean(axis=(1, 3)), REFERENCE, atol=5e-4)


def drawn(
    *,
    hair: float = 0.0,
    curtains: bool = False,
    shoulders: float = 2.3,
    turn: float = 0.0,
    cloth: tuple[int, int, int] = HAIR,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photograph, points and mask of the mean face, its skull larger by `hair`; neck and face are skin,
    `curtains` hang beside them, `cloth` is on the shoulders; turned by `turn` degrees about the vertical."""
    angle = np.radians(turn)
    about_y = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    middle = np.array([SIZE / 2, SIZE / 2 + 60, 0])

    def place(*where: float) -> tuple[float, float]:
        x, y, _ = np.array(where) @ about_y * UNIT + middle
        return x, y

    points = (load_face_mesh().mean @ about_y * UNIT + middle).astype(np.float32)
    image = Image.new("RGB", (SIZE, SIZE), BACKGROUND)
    draw = ImageDraw.Draw(image)
    x, y = place(0, -1.08, 1.26)
    wide, high = (1.57 + hair) * UNIT, (1.95 + hair) * UNIT
    draw.ellipse([x - wide, y - high, x + wide, y + 1.95 * UNIT], fill=HAIR if hair else SKIN)
    if curtains:
        draw.rectangle([x - 1.9 * UNIT, y, x + 1.9 * UNIT, SIZE], fill=HAIR)
    outline = (10, 297, 284, 389, 454, 361, 397, 379, 152, 150, 172, 132, 234, 162, 54, 67)
    draw.polygon([tuple(point) for point in points[list(outline), :2]], fill=SKIN)
    neck, top = place(0, 0, 1.26)[0], place(0, shoulders, 0)[1]
    draw.rectangle([neck - 0.8 * UNIT, place(0, 1.2, 0)[1], neck + 0.8 * UNIT, SIZE], fill=SKIN)
    draw.rectangle([0, top, SIZE, SIZE], fill=cloth)
    pixels = np.array(image)
    return pixels, points, (pixels != BACKGROUND).any(axis=2).astype(np.float32)


def numbers(shot: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, float]:
    return dict(zip(NAMES, measured(*shot).tolist(), strict=True))


@pytest.mark.parametrize("turn", [0, 20, -20])
def test_a_bald_head_is_a_bald_skull(turn: float) -> None:
    found = numbers(drawn(turn=turn))
    assert found["above"] == pytest.approx(1, abs=0.08) and found["aside"] == pytest.approx(1, abs=0.12)
    assert found["ears"] < 0.2 and found["jaw"] < 0.25


def test_an_afro_stands_off_and_does_not_hang() -> None:
    found = numbers(drawn(hair=1.0))
    assert found["above"] > 1.45 and found["aside"] > 1.5
    assert found["jaw"] < 0.5


@pytest.mark.parametrize("turn", [0, 20])
def test_long_hair_fills_the_place_beside_the_face(turn: float) -> None:
    found = numbers(drawn(hair=0.25, curtains=True, turn=turn))
    assert found["ears"] > 0.6 and found["cheeks"] > 0.8 and found["jaw"] > 0.8
    assert found["above"] < 1.25


def test_neck_and_shoulders_are_no_hair() -> None:
    found = numbers(drawn(shoulders=1.5))
    assert found["jaw"] < 0.35 and found["cheeks"] < 0.3


@pytest.mark.parametrize("cloth", [(190, 30, 40), (235, 235, 230), (150, 160, 170)])
def test_a_shirt_beside_the_jaw_is_no_hair(cloth: tuple[int, int, int]) -> None:
    assert numbers(drawn(hair=0.3, shoulders=0.7))["jaw"] > 0.6  # as dark as the hair
    assert numbers(drawn(hair=0.3, shoulders=0.7, cloth=cloth))["jaw"] < 0.2


def test_hair_in_shadow_is_hair() -> None:
    found = numbers(drawn(hair=0.3, shoulders=0.0, cloth=(22, 14, 10)))
    assert found["ears"] > 0.6 and found["jaw"] > 0.8


def test_what_the_picture_cuts_off_is_unknown() -> None:
    image, points, mask = drawn(hair=0.3)
    top = int(points[[105, 334], 1].mean())
    cut = points - np.array([0, top, 0], np.float32)
    found = dict(zip(NAMES, measured(image[top:], cut, mask[top:]), strict=True))
    assert np.isnan(found["above"])
    whole = numbers((image, points, mask))
    for name in ("cheeks", "jaw"):
        assert found[name] == pytest.approx(whole[name], abs=0.05)


def test_of_a_head_in_profile_at_the_edge_one_side_is_enough() -> None:
    image, points, mask = drawn(hair=0.25, curtains=True)
    left = int(points[:, 0].min()) - 4
    cut = points - np.array([left, 0, 0], np.float32)
    found = dict(zip(NAMES, measured(image[:, left:], cut, mask[:, left:]), strict=True))
    assert found["ears"] > 0.6 and found["jaw"] > 0.8


def test_both_ways_round_and_at_any_size(portrait, dlib_encoder) -> None:
    points = face_points(portrait, dlib_encoder.faces(portrait)[0]).points
    found = silhouette(portrait, points)
    assert found.shape == (len(NAMES),) and found.dtype == np.float32 and np.isfinite(found).all()
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    other = face_points(mirrored, dlib_encoder.faces(mirrored)[0]).points
    # The jaw's strip is narrow, and the collar is near.
    assert (np.abs(silhouette(mirrored, other) - found) < (0.05, 0.05, 0.05, 0.1, 0.4)).all()
    large = np.array(Image.fromarray(portrait).resize((1024, 1024), Image.Resampling.BICUBIC))
    twice = points * (1024 / portrait.shape[1])
    np.testing.assert_allclose(silhouette(large, twice), found, atol=0.06)


def test_curly_short_hair_of_the_portrait_stands_off_and_ends_above_the_jaw(portrait, dlib_encoder) -> None:
    points = face_points(portrait, dlib_encoder.faces(portrait)[0]).points
    found = dict(zip(NAMES, silhouette(portrait, points).tolist(), strict=True))
    assert found["above"] > 1.1 and found["aside"] > 1.25
    assert found["cheeks"] < 0.4 and found["jaw"] < 0.6


@pytest.mark.parametrize("offset", [-5000, 5000])
def test_a_face_outside_of_the_picture_says_nothing(offset: float) -> None:
    image, points, _ = drawn()
    assert np.isnan(silhouette(image, points + np.float32(offset))).all()


def test_several_photographs_outvote_a_wrong_one() -> None:
    rows = np.tile(np.array([1.2, 1.1, 0.1, 0.0, 0.2], np.float32), (3, 1))
    rows[0] = 9
    rows[1:, 0] = np.nan
    np.testing.assert_allclose(together(list(rows)), [9, 1.1, 0.1, 0.0, 0.2])
    assert np.isnan(together([np.full(5, np.nan, np.float32)])).all()
