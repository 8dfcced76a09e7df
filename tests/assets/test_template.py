"""The shipped template is what its contract says."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from id3d_engine.assets.template_parts import find_mirror
from id3d_engine.assets.uv_layout import coverage, islands, pack
from id3d_engine.expressions import ARKIT_NAMES, EXPRESSIONS
from id3d_engine.geometry.mesh_quality import inverted
from id3d_engine.rig.units import pose
from id3d_engine.subjects import ATTRIBUTES, fit_shape_given_attributes, sample_attributes
from id3d_engine.template import EYE, MOUTH, SKIN, TEMPLATE_FILE, load_template

MM = 1e-3


@pytest.fixture(scope="module")
def template():
    return load_template()


def test_the_file_is_small_and_its_arrays_fit_together(template):
    assert TEMPLATE_FILE.stat().st_size < 6.5e6
    count = len(template.vertices)
    assert template.faces.max() == count - 1 and template.faces.min() == 0
    assert template.uv.shape == (*template.faces.shape, 2)
    assert template.basis.shape[1:] == (count, 3)
    assert set(template.arkit) == set(ARKIT_NAMES)
    assert set(np.unique(template.part)) == {SKIN, EYE, MOUTH}
    for array in (template.vertices, template.basis, *template.arkit.values()):
        assert np.isfinite(array).all()


def test_every_face_is_a_quad_and_every_vertex_is_used(template):
    assert (np.diff(np.sort(template.faces, axis=1), axis=1) > 0).all()
    assert len(np.unique(template.faces)) == len(template.vertices)


def test_it_is_a_head_in_blender_axes(template):
    v, marks = template.vertices, template.landmarks
    chin_to_crown = v[marks["crown"], 2] - v[marks["chin"], 2]
    assert 0.19 < chin_to_crown < 0.24
    assert v[marks["nose_tip"], 1] == pytest.approx(v[:, 1].min(), abs=1 * MM)
    assert v[marks["left_ear"], 0] > 0.06 > -0.06 > v[marks["right_ear"], 0]
    cap = template.regions["neck_cap"] > 0.5
    assert np.abs(v[cap].mean(axis=0)).max() < 6 * MM


def test_edges_are_shared_by_two_faces_but_for_the_roots_of_the_teeth(template):
    sides = Counter()
    for quad in template.faces.tolist():
        for k in range(4):
            sides[tuple(sorted((quad[k], quad[(k + 1) % 4])))] += 1
    assert max(sides.values()) == 2
    open_ends = {v for edge, n in sides.items() if n == 1 for v in edge}
    assert all(template.regions["teeth"][v] == 1 for v in open_ends)


@pytest.mark.parametrize("name", ["eyeballs", "skin"])
def test_faces_look_outward(template, name):
    """Signed volume by the divergence theorem, of each eyeball and of the skin with its cavities."""
    if name == "eyeballs":
        for side in (1, -1):
            own = (template.part == EYE) & (template.vertices[template.faces[:, 0], 0] * side > 0)
            assert own.sum() == 280
            assert 3e-6 < _volume(template, own) < 20e-6
    else:
        loose = template.regions["teeth"] + template.regions["tongue"] + template.regions["eyeballs"]
        own = loose[template.faces[:, 0]] < 0.5
        assert 2.5e-3 < _volume(template, own) < 5e-3


def test_uvs_fill_the_square_without_overlap(template):
    assert template.uv.min() >= 0 and template.uv.max() <= 1
    count = coverage(template.uv, 1024)
    assert (count > 1).sum() == 0
    assert (count > 0).mean() > 0.55
    a, b, c = template.triangle_uv.transpose(1, 0, 2)
    assert ((b - a)[:, 0] * (c - a)[:, 1] > (b - a)[:, 1] * (c - a)[:, 0]).all()


def test_uv_islands_are_few_and_the_face_is_large_and_upright(template):
    island = islands(template.faces, template.uv)
    assert island.max() + 1 <= 12
    uv = np.zeros((len(template.vertices), 2))
    uv[template.faces.ravel()] = template.uv.reshape(-1, 2)
    marks = template.landmarks
    assert uv[marks["nose_bridge"], 1] > uv[marks["nose_tip"], 1] > uv[marks["chin"], 1]
    assert uv[marks["left_ear"], 0] - uv[marks["right_ear"], 0] > 0.5


def test_packing_keeps_islands_apart_and_their_shape():
    square = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]], np.float32)
    uv = np.concatenate([square, square * [0.2, 0.1] + 3, square * 0.1 - 1]).astype(np.float32)
    out = pack(uv, np.array([0, 1, 2]), 0, np.array([1.0, 1.0, 1.0]))
    assert (coverage(out, 512) <= 1).all() and out.min() > 0 and out.max() < 1
    size = out[1].max(axis=0) - out[1].min(axis=0)
    assert size[0] == pytest.approx(2 * size[1], rel=1e-4)


def test_islands_that_cannot_fit_are_refused():
    square = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]], np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        pack(np.concatenate([square, square]), np.array([0, 1]), 0, np.array([1.0, 1e4]))


def test_mirror_is_an_involution_that_swaps_left_and_right(template):
    mirror, v = template.mirror, template.vertices
    assert np.array_equal(mirror[mirror], np.arange(len(v)))
    assert np.abs(v[mirror] - v * [-1, 1, 1]).max() < 0.01 * MM
    assert np.array_equal(template.regions["left"][mirror], 1 - template.regions["left"])
    assert template.mirror[template.landmarks["left_eye_inner"]] == template.landmarks["right_eye_inner"]


def test_a_lopsided_head_has_no_mirror():
    points = np.random.default_rng(0).random((9, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="not symmetric"):
        find_mirror(points)


@pytest.mark.parametrize("name", ["face", "scalp", "lips", "brows", "ears", "neck", "eyelids"])
def test_regions_are_masks_of_some_skin(template, name):
    mask = template.regions[name]
    assert mask.min() >= 0 and mask.max() <= 1
    assert 12 < (mask > 0.5).sum() < 0.6 * len(mask)
    assert np.abs(mask - mask[template.mirror]).max() < 0.35


def test_landmarks_lie_in_their_regions(template):
    for mark, region in (("upper_lip", "lips"), ("chin", "face"), ("left_ear", "ears"), ("crown", "scalp")):
        assert template.regions[region][template.landmarks[mark]] > 0.5, mark


@pytest.mark.parametrize("name", [n for n in ARKIT_NAMES if n.endswith("Left")])
def test_one_sided_units_stay_on_their_side(template, name):
    if name in ("jawLeft", "mouthLeft"):  # these move the whole jaw or mouth to the left
        return
    x = template.vertices[:, 0]
    unit = np.linalg.norm(template.arkit[name], axis=1)
    assert unit[x > 0].max() > 2 * MM
    assert unit[x < -0.0101].max() == 0
    twin = np.linalg.norm(template.arkit[name.removesuffix("Left") + "Right"], axis=1)
    assert np.abs(unit - twin[template.mirror]).max() < 1.5 * MM


def test_teeth_follow_the_jaw_and_only_the_lower_ones(template):
    moved = np.linalg.norm(template.arkit["jawOpen"], axis=1)[template.regions["teeth"] > 0.5]
    assert (moved < 0.1 * MM).sum() == 68 and (moved > 8 * MM).sum() == 68


def test_eyeballs_keep_their_shape_when_they_look_about(template):
    eye = np.flatnonzero((template.regions["eyeballs"] > 0.5) & (template.vertices[:, 0] > 0))
    before = template.vertices[eye]
    after = before + template.arkit["eyeLookUpLeft"][eye]
    size = [np.linalg.norm(p - p.mean(axis=0), axis=1) for p in (before, after)]
    assert np.abs(size[0] - size[1]).max() < 0.05 * MM
    assert np.linalg.norm(after - before, axis=1).max() > 1 * MM


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda e: e.name)
def test_recipes_deform_without_turning_the_skin_inside_out(template, expression):
    outside = np.tile(template.part == SKIN, 2)
    flipped = inverted(
        template.vertices,
        template.vertices + pose(template.arkit, expression.recipe),
        template.triangles[outside],
    )
    assert flipped.mean() < 0.02


def test_shape_space_spans_people_in_order_of_importance(template):
    size = np.sqrt((template.basis**2).sum(axis=2).mean(axis=1))
    assert (np.diff(size) < 1e-6).all()
    flat = template.basis.reshape(len(template.basis), -1)[:40]
    gram = flat @ flat.T
    scale = np.sqrt(np.diag(gram))
    assert np.abs(gram / np.outer(scale, scale) - np.eye(40)).max() < 0.01


def test_attributes_shape_heads(template):
    """Children's heads are smaller, men's are longer and have broader jaws, all else equal."""

    def size(**change: float) -> float:
        person = dict(zip(ATTRIBUTES, (30, 0.5, 1 / 3, 1 / 3, 1 / 3, 0.5, 0.5), strict=True)) | change
        row = np.array([[person[a] for a in ATTRIBUTES]])
        v = template.shape(template.given_attributes.mean(row)[0])
        return float(v[template.landmarks["crown"], 2] - v[template.landmarks["chin"], 2])

    assert size(age=3) < size(age=10) < size(age=30)
    assert size(gender=1) > size(gender=0)


def test_sampled_shapes_have_the_spread_of_the_subjects(template):
    random = np.random.default_rng(0)
    coefficients = template.given_attributes.sample(sample_attributes(600, random), random)
    assert np.abs(coefficients.mean(axis=0)).max() < 0.35
    assert coefficients.std(axis=0).min() > 0.7 and coefficients.std(axis=0).max() < 1.35


def test_attributes_are_drawn_within_their_ranges_and_by_seed():
    people = sample_attributes(500, np.random.default_rng(4))
    assert np.array_equal(people, sample_attributes(500, np.random.default_rng(4)))
    age, gender, african, asian, caucasian, weight, muscle = people.T
    assert age.min() >= 1 and age.max() <= 88 and 0.5 < (age > 16).mean() < 0.95
    assert np.abs(african + asian + caucasian - 1).max() < 1e-5
    assert min(gender.min(), weight.min(), muscle.min()) >= 0 and max(gender.max(), weight.max()) <= 1


def test_the_attribute_fit_recovers_a_linear_world():
    random = np.random.default_rng(1)
    people = sample_attributes(2000, random)
    truth = np.stack([people[:, 1] - 0.5, 2 * people[:, 5] * people[:, 1]], axis=1)
    noisy = truth + 0.1 * random.standard_normal(truth.shape)
    model = fit_shape_given_attributes(people, noisy)
    assert np.abs(model.mean(people) - truth).mean() < 0.02
    assert model.residual[0, 0] == pytest.approx(0.1, rel=0.1)


def _volume(template, own) -> float:
    triangles = template.triangles[np.tile(own, 2)]
    a, b, c = template.vertices[triangles].astype(np.float64).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)
