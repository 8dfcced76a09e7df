"""People's proportions: what the shipped template has of them, and the field that gives them."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.geometry import proportions
from id3d_engine.geometry.proportions import brows_kept_on, in_its_size, peoples_proportions
from id3d_engine.template import HeadTemplate, load_template

# Farkas, "Anthropometry of the Head and Face" (1994), young adults: mm between the eyes' outer corners,
# their inner corners and the mouth's corners.
PEOPLE = {1.0: (91.2, 33.3, 54.5), 0.0: (87.8, 31.8, 50.2)}


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def field(template) -> np.ndarray:
    return peoples_proportions(template)


def adult(template: HeadTemplate, gender: float) -> np.ndarray:
    row = np.array([[25, gender, 0, 0, 1, 0.5, 0.5]])
    return template.shape(template.given_attributes.mean(row)[0])


@pytest.mark.parametrize("gender", PEOPLE)
def test_adults_have_eyes_and_mouths_where_people_have_them(template, gender: float) -> None:
    head = adult(template, gender)

    def apart(name: str) -> float:
        left, right = (head[template.landmarks[f"{side}_{name}"]] for side in ("left", "right"))
        return float(np.linalg.norm(left - right))

    outer, inner, mouth = PEOPLE[gender]
    # MakeHuman's own are 0.48 and 0.45 of the outer corners' distance apart, people's 0.36.
    assert apart("eye_inner") / apart("eye_outer") == pytest.approx(inner / outer, abs=0.05)
    assert apart("mouth_corner") / apart("eye_outer") == pytest.approx(mouth / outer, abs=0.025)
    brows = np.average(head[:, 2], weights=template.regions["brows"])
    pupils = head[template.landmarks["left_eye_centre"], 2]
    assert 0.25 < (brows - pupils) / apart("eye_centre") < 0.40  # 0.43 and 0.48


def test_the_field_moves_faces_alone_and_both_sides_alike(template, field) -> None:
    rest = template.vertices
    assert np.abs(field[template.regions["eyeballs"] > 0.5]).max() < 2e-5
    behind = rest[:, 1] > rest[template.landmarks["left_ear"], 1]
    assert np.abs(field[behind]).max() < 1e-6
    np.testing.assert_allclose(field[template.mirror] * [-1, 1, 1], field, atol=1e-9)
    brows = template.regions["brows"] > 0.9
    assert field[brows, 2].min() == pytest.approx(-proportions.BROWS_DOWN, rel=0.05)
    chin, nose = (field[template.landmarks[name]] for name in ("chin", "nose_tip"))
    assert 0.5 * proportions.CHIN_UP < chin[2] < 1.2 * proportions.CHIN_UP and 0 < nose[2] < 0.005


def test_the_field_has_no_folds(template, field) -> None:
    skin = np.tile((template.part == 0), 2)
    corner, moved = (
        vertices[template.triangles[skin]] for vertices in (template.vertices, template.vertices + field)
    )
    before, after = (np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0]) for c in (corner, moved))
    face = (template.regions["face"][template.triangles[skin]] > 0.5).all(axis=1)
    assert ((before * after).sum(1)[face] > 0).all()


def test_a_brow_that_comes_down_stops_before_the_lid(template) -> None:
    assert np.abs(brows_kept_on(template, np.zeros_like(template.vertices))).max() == 0
    brows = template.regions["brows"] > 0.9
    down = np.zeros_like(template.vertices)
    down[brows, 2] = -0.008
    kept = brows_kept_on(template, down)
    assert (kept[brows, 2] > -0.008).all() and (kept[brows, 2] < -0.002).all()
    jaw = brows_kept_on(template, template.arkit["jawOpen"])
    np.testing.assert_allclose(jaw, template.arkit["jawOpen"], atol=2e-4)


def test_a_child_is_changed_in_its_size(template) -> None:
    rows = np.array([[4, 0.5, 0.3, 0.3, 0.4, 0.5, 0.5], [30, 0.5, 0.3, 0.3, 0.4, 0.5, 0.5]])
    heads = np.stack([template.shape(c) for c in template.given_attributes.mean(rows)])
    child, grown = in_its_size(heads, template)
    assert child < 0.85 and 0.95 < grown < 1.1
