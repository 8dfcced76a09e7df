"""Wrapping: the template comes back from its own surfaces, smooth, with eyes and teeth in place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from id3d_engine.errors import InputError
from id3d_engine.geometry.closest import Target, vertex_normals
from id3d_engine.geometry.fields import PosedHead, start_fields
from id3d_engine.geometry.marching_tets import marching_tets
from id3d_engine.geometry.mesh_quality import surface_error, vertex_error
from id3d_engine.geometry.wrap import Settings, trust, wrap
from id3d_engine.rig.follow import lid_rims, pieces
from id3d_engine.template import load_template

MM = 1e-3
QUICK = Settings(shape_rounds=2, rounds=2)
ADULT = np.array([[35, 0.8, 0.1, 0.2, 0.7, 0.5, 0.5]])


@pytest.fixture(scope="module")
def template():
    return load_template()


@pytest.fixture(scope="module")
def start(template):
    return template.shape(template.given_attributes.mean(ADULT)[0])


@pytest.fixture(scope="module")
def other(template):
    """Another person: far from the start, and not quite in the shape space (a broken nose)."""
    sample = template.given_attributes.sample(ADULT, np.random.default_rng(5), spread=0.8)[0]
    head = template.shape(sample)
    bridge = head[template.landmarks["nose_bridge"]] + [0.004, -0.004, -0.014]
    bump = np.exp(-0.5 * (np.linalg.norm(head - bridge, axis=1) / 0.008) ** 2)
    return head + np.float32([0.003, -0.002, 0]) * bump[:, None].astype(np.float32)


def _outer(template, head):
    """The head's own skin as a surface of its own, without mouth and sockets, vertices shuffled."""
    keep = (template.part == 0) & (template.regions["eye_sockets"][template.faces] < 0.5).all(axis=1)
    triangles = template.triangles[np.tile(keep, 2)]
    order = np.random.default_rng(0).permutation(len(head))
    place = np.empty(len(head), np.int64)
    place[order] = np.arange(len(head))
    return head[order], place[triangles]


@pytest.fixture(scope="module")
def sculpted(template, start):
    """The start head as a tetrahedral grid of 8 mm shows it."""
    fields = start_fields(PosedHead(start, {}, template.triangles, template), ("neutral",), 0.008, 0.006)
    vertices, triangles = marching_tets(fields.grid, fields.grid.vertices, fields.sdf[0])
    return vertices.numpy(), triangles.numpy()


@pytest.fixture(scope="module")
def wrapped(template, start, other):
    return wrap(template, start, _outer(template, other))


def test_another_person_is_recovered_from_the_bare_surface(template, start, other, wrapped):
    face, everything = template.regions["face"], trust(template)
    assert surface_error(start, other, template.triangles, face) > 0.5 * MM
    assert surface_error(wrapped, other, template.triangles, face, aligned=False) < 0.12 * MM
    assert surface_error(wrapped, other, template.triangles, everything, aligned=False) < 0.15 * MM
    # Corresponding vertices too: features are where they belong, not just somewhere on the surface.
    for region in ("lips", "brows", "face"):
        weights = template.regions[region]
        assert vertex_error(wrapped, other, weights) < 0.75 * vertex_error(start, other, weights)


def test_noise_on_the_surface_does_not_become_ripples(template, start, other, wrapped):
    vertices, triangles = _outer(template, other)
    noise = 0.4 * MM * np.random.default_rng(2).standard_normal(vertices.shape)
    noisy = wrap(template, start, ((vertices + noise).astype(np.float32), triangles))
    assert surface_error(noisy, other, template.triangles, template.regions["face"]) < 0.2 * MM
    # Normals stay those of the quiet surface where 0.4 mm of noise would turn facets by ten degrees.
    a, b = (vertex_normals(v, template.triangles) for v in (noisy, wrapped))
    turn = np.degrees(np.arccos(np.clip((a * b).sum(axis=1), -1, 1)))
    assert np.average(turn, weights=template.regions["face"]) < 1.5


def test_the_grid_s_own_rounding_is_not_taken_for_shape(template, start, sculpted):
    """Unmoved, the surface brings the start back exactly with a reference, and nearly without one."""
    same = wrap(template, start, sculpted, reference=sculpted, settings=QUICK)
    assert np.abs(same - start).max() < 0.01 * MM
    alone = wrap(template, start, sculpted)
    assert surface_error(alone, start, template.triangles, template.regions["face"], aligned=False) < 0.5 * MM


def test_hair_that_the_shape_space_lacks_is_followed(template, start):
    hair = start + 0.012 * template.regions["scalp"][:, None] * vertex_normals(start, template.triangles)
    out = wrap(template, start, _outer(template, hair))
    scalp = template.regions["scalp"] > 0.95
    assert surface_error(out, hair, template.triangles, scalp, aligned=False) < 0.6 * MM
    # ... and is no reason to change the face.
    assert vertex_error(out, start, template.regions["face"], aligned=False) < 1.0 * MM


def test_eyes_and_teeth_move_as_wholes_with_their_surroundings(template, start, wrapped):
    for piece in pieces(template)[1:]:
        if template.regions["eyeballs"][piece].all():
            side = "left" if template.vertices[piece, 0].mean() > 0 else "right"
            rim = lid_rims(template)[side]
            gap = cKDTree(wrapped[piece]).query(wrapped[rim])[0]
            before = cKDTree(start[piece]).query(start[rim])[0]
            assert np.abs(gap - before).max() < 1.0 * MM


def test_the_same_inputs_give_the_same_bytes(template, start, sculpted):
    first = wrap(template, start, sculpted, settings=QUICK)
    assert np.array_equal(first, wrap(template, start, sculpted, settings=QUICK))
    assert first.dtype == np.float32 and first.shape == start.shape


def test_trust_is_low_where_a_grid_shows_little(template):
    weight = trust(template)
    marks = template.landmarks
    assert weight[marks["nose_tip"]] > 0.8 and weight[marks["crown"]] > 0.8
    for hidden in ("mouth_inside", "eye_sockets", "neck_cap", "eyeballs"):
        assert weight[template.regions[hidden] > 0.5].max() == 0
    assert weight[template.regions["eyelids"] > 0.9].max() < 0.3


@pytest.mark.parametrize(
    ("surface", "match"),
    [
        ((np.zeros((0, 3)), np.zeros((0, 3), int)), "empty or not finite"),
        ((np.full((3, 3), np.nan), np.array([[0, 1, 2]])), "empty or not finite"),
        ((np.eye(3) + 5, np.array([[0, 1, 2]])), "nowhere near"),
    ],
)
def test_unusable_surfaces_are_refused(template, start, surface, match):
    with pytest.raises(InputError, match=match):
        wrap(template, start, surface)


def test_a_start_of_another_topology_is_refused(template, sculpted):
    with pytest.raises(InputError, match="vertices of the template"):
        wrap(template, np.zeros((7, 3)), sculpted)


def test_closest_points_against_brute_force():
    random = np.random.default_rng(3)
    vertices = random.random((40, 3))
    triangles = random.permutation(120).reshape(-1, 3) % 40
    triangles = triangles[(np.diff(np.sort(triangles, axis=1), axis=1) > 0).all(axis=1)]
    points = random.random((30, 3))
    hit = Target((vertices, triangles)).closest(points, 10.0)
    steps = np.linspace(0, 1, 60)
    u, v = (a.ravel() for a in np.meshgrid(steps, steps))
    inside = u + v <= 1
    weights = np.stack([1 - u - v, u, v], axis=1)[inside]
    samples = np.einsum("sk,tkc->tsc", weights, vertices[triangles]).reshape(-1, 3)
    nearest = cKDTree(samples).query(points)[0]
    assert np.all(hit.distance <= nearest + 1e-12) and np.abs(hit.distance - nearest).max() < 0.01
    assert np.allclose(np.linalg.norm(hit.points - points, axis=1), hit.distance)
    assert not Target((vertices, triangles)).closest(points + 9, 0.5).found.any()
