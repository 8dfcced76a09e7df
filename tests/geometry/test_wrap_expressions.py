"""Units on a new head and expressions from their surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.errors import InputError
from id3d_engine.expressions import ARKIT_NAMES, EXPRESSIONS
from id3d_engine.geometry.expressions_fit import fit_expression, freedom
from id3d_engine.geometry.mesh_quality import inverted, surface_error, vertex_error
from id3d_engine.rig.follow import pieces
from id3d_engine.rig.lids import gaps, rim_halves
from id3d_engine.rig.units import pose, transfer_units
from id3d_engine.template import SKIN, load_template

MM = 1e-3
RECIPES = {e.name: e.recipe for e in EXPRESSIONS}


@pytest.fixture(scope="module")
def template():
    return load_template()


@pytest.fixture(scope="module")
def child(template):
    """Far from the mean: a child of four with large eyes."""
    people = np.array([[4, 0.3, 0.1, 0.6, 0.3, 0.5, 0.5]])
    return template.shape(template.given_attributes.sample(people, np.random.default_rng(8))[0])


@pytest.fixture(scope="module")
def units(template, child):
    return transfer_units(template, child)


def test_on_the_template_itself_the_units_are_its_own(template):
    own = transfer_units(template, template.vertices)
    assert set(own) == set(ARKIT_NAMES)
    for name, unit in own.items():
        assert np.abs(unit - template.arkit[name]).max() < 0.05 * MM, name


def test_on_a_scaled_template_they_scale(template):
    half = transfer_units(template, 0.5 * template.vertices)
    for name in ("jawOpen", "mouthSmileLeft", "eyeLookDownRight", "tongueOut"):
        assert np.abs(half[name] - 0.5 * template.arkit[name]).max() < 0.25 * MM, name


def test_what_a_unit_leaves_still_stays_still(template, units):
    for name, unit in units.items():
        still = np.abs(template.arkit[name]).max(axis=1) < 1e-7
        assert np.all(unit[still] == 0), name


@pytest.mark.parametrize("name", ["browDownLeft", "eyeBlinkLeft", "mouthSmileLeft", "noseSneerLeft"])
def test_one_sided_units_stay_on_their_side(template, units, name):
    right = template.vertices[:, 0] < -0.0101
    assert np.all(units[name][right] == 0)
    assert np.linalg.norm(units[name], axis=1).max() > 1 * MM


def test_eyes_turn_about_their_own_centres(template, child, units):
    for piece in pieces(template)[1:]:
        if not template.regions["eyeballs"][piece].all():
            continue
        side = "Left" if child[piece, 0].mean() > 0 else "Right"
        offsets = units[f"eyeLookOut{side}"][piece]
        before = child[piece] - child[piece].mean(axis=0)
        assert np.abs(offsets.mean(axis=0)).max() < 0.01 * MM
        after = before + offsets
        assert np.allclose(np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1), atol=0.02 * MM)
        # Outwards: the pupil moves away from the nose.
        front = offsets[before[:, 1].argmin()]
        assert front[0] * (1 if side == "Left" else -1) > 1 * MM


@pytest.mark.parametrize("side", ["left", "right"])
def test_lids_meet_at_a_blink(template, child, units, side):
    upper, lower = rim_halves(template, side)
    name = {"left": "eyeBlinkLeft", "right": "eyeBlinkRight"}[side]
    assert gaps(child, upper, lower).max() > 3 * MM
    own = gaps(template.vertices + template.arkit[name], upper, lower)
    assert np.all(gaps(child + units[name], upper, lower) < own + 0.1 * MM)


def test_no_eyeball_shows_through_closed_lids(template, child, units):
    """Rays from the front of each eyeball towards the viewer all meet skin."""
    closed = child + pose(units, RECIPES["eyes_closed"])
    skin = template.triangles[np.tile(template.part == SKIN, 2)]
    corners = closed[skin].astype(np.float64)
    for piece in pieces(template)[1:]:
        if not template.regions["eyeballs"][piece].all():
            continue
        ball = closed[piece]
        centre, radius = ball.mean(axis=0), np.ptp(ball[:, 0]) / 2
        front = ball[(ball[:, 1] < centre[1] - 0.75 * radius)]
        assert len(front) > 15
        for point in front:
            assert _blocked(point, corners), point


def test_mouths_open_without_tearing(template, child, units):
    open_ = child + pose(units, {"jawOpen": 1.0})
    marks = template.landmarks
    gap = open_[marks["upper_lip"], 2] - open_[marks["lower_lip"], 2]
    assert gap > 15 * MM
    skin = template.triangles[np.tile(template.part == SKIN, 2)]
    assert inverted(child, open_, skin).mean() < 0.01


@pytest.fixture(scope="module")
def posed(template, child, units):
    """What a perfect sculpture would be: the recipe, wider open, one brow up, without a mouth cavity."""
    extra = {"jawOpen": 0.1, "browOuterUpLeft": 0.6, "cheekPuff": 0.15}
    return child + pose(units, RECIPES["mouth_stretch"]) + pose(units, extra)


@pytest.fixture(scope="module")
def fitted(template, child, units, posed):
    return fit_expression(template, child, units, RECIPES["mouth_stretch"], _outer(template, posed))


def test_an_expression_goes_beyond_its_recipe_to_the_surface(template, child, units, posed, fitted):
    start = child + pose(units, RECIPES["mouth_stretch"])
    for region, share in (("brows", 0.5), ("face", 0.75)):
        weights = template.regions[region]
        before = surface_error(start, posed, template.triangles, weights, aligned=False)
        after = surface_error(child + fitted, posed, template.triangles, weights, aligned=False)
        assert after < share * before, region
        assert vertex_error(child + fitted, posed, weights, aligned=False) < vertex_error(
            start, posed, weights, aligned=False
        )


def test_an_expression_keeps_the_skull_still_and_the_lips_apart(template, child, posed, fitted):
    assert np.all(
        fitted[freedom(template) == 0][template.regions["scalp"][freedom(template) == 0] > 0.9] == 0
    )
    marks = template.landmarks
    head = child + fitted
    want = posed[marks["upper_lip"], 2] - posed[marks["lower_lip"], 2]
    assert head[marks["upper_lip"], 2] - head[marks["lower_lip"], 2] == pytest.approx(want, rel=0.15)
    skin = template.triangles[np.tile(template.part == SKIN, 2)]
    assert inverted(child, head, skin).mean() < 0.01


def test_the_recipe_s_own_surface_gives_the_recipe(template, child, units):
    recipe = RECIPES["smile"]
    start = child + pose(units, recipe)
    surface = _outer(template, start)
    out = fit_expression(template, child, units, recipe, surface, reference=(start, surface))
    assert np.abs(out - pose(units, recipe)).max() < 0.01 * MM


def test_a_surface_elsewhere_is_refused(template, child, units):
    with pytest.raises(InputError, match="nowhere near"):
        fit_expression(template, child, units, RECIPES["smile"], (np.eye(3) + 3, np.array([[0, 1, 2]])))


def _outer(template, head):
    keep = (template.part == 0) & (template.regions["eye_sockets"][template.faces] < 0.5).all(axis=1)
    return head, template.triangles[np.tile(keep, 2)]


def _blocked(point: np.ndarray, corners: np.ndarray) -> bool:
    """Whether a ray towards -Y meets a triangle (2-D point in triangle, then depth)."""
    p, z = point[[0, 2]], corners[:, :, 1]
    a, b, c = (corners[:, k][:, [0, 2]] for k in range(3))

    def side(u, v):
        return (v[:, 0] - u[:, 0]) * (p[1] - u[:, 1]) - (v[:, 1] - u[:, 1]) * (p[0] - u[:, 0])

    s = np.stack([side(b, c), side(c, a), side(a, b)])
    inside = (s >= 0).all(axis=0) | (s <= 0).all(axis=0)
    weights = s[:, inside] / s[:, inside].sum(axis=0)
    depth = (weights * z[inside].T).sum(axis=0)
    return bool((depth < point[1] + 1e-4).any())
