"""The template at rest: lids, lips, and what a blink still does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from id3d_engine.geometry.rest import OPENING, OVERLAP_M, SHOWN_M, _facing, _pairs, at_rest, teeth_at_rest
from id3d_engine.rig.follow import pieces
from id3d_engine.rig.lids import gaps, raised_lower_lid, rim_halves
from id3d_engine.template import HeadTemplate, load_template


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


@pytest.fixture(scope="module")
def lips(template):
    upper, lower = _facing(template)
    return _pairs(template.vertices.astype(float), upper, lower)


def apart(lips, vertices: np.ndarray) -> np.ndarray:
    """(P,) metres between the lips, above each of some places of the lower one."""
    over, under, weights = lips
    return vertices[over, 2] - (weights * vertices[under, 2]).sum(1)


def test_lips_touch_on_every_head(template, lips) -> None:
    rng = np.random.default_rng(0)
    heads = [template.shape(rng.normal(size=len(template.basis))) for _ in range(20)]
    middles = np.array([np.mean(apart(lips, head.astype(float))) for head in [template.vertices, *heads]])
    assert middles[0] == pytest.approx(-OVERLAP_M, abs=4e-4)
    assert np.abs(middles - middles[0]).max() < 4e-4
    # Before it, heads' lips were that far from the mean head's.
    assert np.ptp([np.mean(head[lips[0], 2]) for head in heads]) > 5e-3


def test_an_open_mouth_is_open(template, lips) -> None:
    assert apart(lips, template.vertices + template.arkit["jawOpen"]).mean() > 0.015


@pytest.mark.parametrize("side", ["left", "right"])
def test_lids_are_as_open_as_peoples(template, side: str) -> None:
    upper, lower = rim_halves(template, side)
    rest = template.vertices.astype(float)
    width = np.ptp(rest[np.concatenate([upper, lower]), 0])
    assert gaps(rest, upper, lower).max() / width == pytest.approx(OPENING, abs=0.02)
    closed = gaps(rest + template.arkit[f"eyeBlink{side.capitalize()}"], upper, lower)
    # Near the inner corner the rims overlap sideways and stand above each other by definition.
    assert (closed[3:] < 0).all()


def test_a_raised_lid_goes_around_the_eyeball(template) -> None:
    rest = template.vertices.astype(float)
    eye = (template.regions["eyeballs"] > 0.5) & (rest[:, 0] > 0)
    centre = rest[eye].mean(0)
    moved = raised_lower_lid(template, rest, "left", 0.3)
    upper, lower = rim_halves(template, "left")
    before, after = (np.linalg.norm(points - centre, axis=1) for points in (rest, rest + moved))
    assert (after[lower] > before[lower] - 1e-6).all()
    assert gaps(rest + moved, upper, lower).max() == pytest.approx(
        0.7 * gaps(rest, upper, lower).max(), rel=0.1
    )
    assert np.abs(moved[upper]).max() < 1e-9 and np.abs(moved[rest[:, 0] < 0]).max() < 1e-9


def test_both_sides_are_alike(template) -> None:
    mirrored = template.vertices[template.mirror] * np.array([-1, 1, 1], np.float32)
    np.testing.assert_allclose(mirrored, template.vertices, atol=2e-5)


def test_a_face_at_rest_is_left_alone(template) -> None:
    again = at_rest(template)
    assert np.abs(again.vertices - template.vertices).max() < 5e-4
    assert np.abs(again.basis - template.basis).max() < 5e-4


def test_teeth_stand_behind_the_lips(template, lips) -> None:
    moved = replace(template, vertices=template.vertices.copy())
    rows = [piece for piece in pieces(template) if template.regions["teeth"][piece].all()]
    lower, upper = sorted(rows, key=lambda piece: template.vertices[piece, 2].mean())
    moved.vertices[upper] += np.float32([0, 0.004, 0.003])
    found = teeth_at_rest(moved)
    np.testing.assert_allclose(found, template.vertices, atol=1e-6)  # where they were
    middle = [row[np.abs(template.vertices[row, 0]) < 0.003] for row in (upper, lower)]
    edge, under = found[middle[0], 2].min(), found[middle[1], 2].max()
    over, below, _ = lips
    meeting = np.median(found[np.concatenate([over, below.ravel()]), 2])
    assert meeting - edge == pytest.approx(SHOWN_M, abs=1.5e-3) and under > edge  # overbite
    assert found[middle[0], 1].min() < found[middle[1], 1].min()  # overjet
    # Nothing of them stands before the lips, on whatever head.
    rng = np.random.default_rng(1)
    skin = found[template.landmarks["upper_lip"], 1]
    for _ in range(20):
        head = template.shape(rng.normal(size=len(template.basis)))
        assert head[upper, 1].min() > head[template.landmarks["upper_lip"], 1] + 0.003
    assert found[upper, 1].min() > skin + 0.005
