from __future__ import annotations

import pytest

from id3d_engine.errors import InputError
from id3d_engine.identity.faces import Face, choose_face


def face(width: float, score: float = 1.0) -> Face:
    return Face((10.0, 10.0, 10.0 + width, 10.0 + width), score)


def test_the_only_face_needs_no_remark():
    chosen, remark = choose_face([face(80)], "me.jpg")
    assert chosen.width_px == 80 and remark == ""


def test_the_largest_of_several_is_taken_and_said():
    chosen, remark = choose_face([face(60), face(120), face(90)], "us.jpg")
    assert chosen.width_px == 120
    assert remark == "us.jpg shows 3 faces; the largest (120 pixels wide) was taken"


def test_a_doubtful_large_detection_does_not_win():
    chosen, remark = choose_face([face(200, score=0.05), face(90, score=1.5)], "badge.jpg")
    assert chosen.width_px == 90 and remark == ""


def test_no_face():
    with pytest.raises(InputError, match=r"no face was found in wall\.jpg: use a sharp photo"):
        choose_face([], "wall.jpg")


def test_small_face_says_its_size_and_what_is_needed():
    with pytest.raises(InputError, match=r"far\.jpg is 20 pixels wide and at least 40 are needed"):
        choose_face([face(20)], "far.jpg")
