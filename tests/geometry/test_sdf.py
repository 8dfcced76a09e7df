"""Signed distances against closed forms and brute force, and on the head itself."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from id3d_engine.errors import InputError
from id3d_engine.geometry import bvh
from id3d_engine.geometry.sdf import Solid
from id3d_engine.rig.units import pose
from id3d_engine.template import load_template


def ball(radius=0.1, centre=(0, 0, 0), subdivisions=4):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return mesh.vertices + np.asarray(centre), mesh.faces


def together(*meshes):
    counts = np.cumsum([0, *(len(v) for v, _ in meshes)])
    return np.concatenate([v for v, _ in meshes]), np.concatenate(
        [f + n for (_, f), n in zip(meshes, counts, strict=False)]
    )


def points(count=400, size=0.2, seed=0):
    return np.random.default_rng(seed).uniform(-size, size, (count, 3))


def test_a_ball_has_its_closed_form():
    p = points()
    got = Solid(*ball()).measure(p, np.inf).sdf
    assert np.abs(got - (np.linalg.norm(p, axis=1) - 0.1)).max() < 2.5e-4  # the icosphere's own chord error


def test_nearest_points_agree_with_brute_force():
    rng = np.random.default_rng(1)
    corners = rng.normal(size=(60, 3, 3)) * 0.1
    tree = bvh.build_tree(corners.reshape(-1, 3), np.arange(180).reshape(-1, 3))
    queries = points(200)
    distance, which, weights = bvh.nearest(queries, tree.corners, tree.box, tree.span, np.inf)
    mesh = trimesh.Trimesh(corners.reshape(-1, 3), np.arange(180).reshape(-1, 3), process=False)
    for p, d in zip(queries, distance, strict=True):
        on_each = trimesh.triangles.closest_point(mesh.triangles, np.repeat(p[None], 60, axis=0))
        assert d == pytest.approx(np.linalg.norm(on_each - p, axis=1).min(), abs=1e-9)
    full = np.column_stack([1 - weights.sum(1), weights])
    place = np.einsum("pcd,pc->pd", tree.corners[which], full)
    assert full.min() >= -1e-12
    assert np.allclose(np.linalg.norm(queries - place, axis=1), distance)


def test_winding_numbers_agree_with_exact_solid_angles():
    vertices, faces = together(ball(0.1), ball(0.04, (0.2, 0, 0), 3))
    faces = faces[: len(faces) - 40]  # a hole makes the numbers fractional
    tree = bvh.build_tree(vertices, faces)
    queries = points(300, 0.3)
    got = bvh.winding(queries, tree.corners, tree.span, tree.pole)
    a, b, c = (vertices[faces[:, k]][None] - queries[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=2) for x in (a, b, c))
    det = (a * np.cross(b, c)).sum(2)
    low = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
    error = np.abs(got - 2 * np.arctan2(det, low).sum(1) / (4 * np.pi))
    assert error.max() < 0.05  # a sign needs 0.5
    assert error.mean() < 0.01


def test_overlapping_solids_are_united():
    one, two = ball(0.1), ball(0.08, (0.11, 0, 0))
    solid = Solid(*together(one, two))
    p = points()
    first, second = np.linalg.norm(p, axis=1) - 0.1, np.linalg.norm(p - [0.11, 0, 0], axis=1) - 0.08
    got = solid.measure(p, np.inf).sdf
    assert ((got < 0) == (np.minimum(first, second) < 0))[np.abs(np.minimum(first, second)) > 3e-4].all()
    outside = np.minimum(first, second) > 0
    assert np.abs(got - np.minimum(first, second))[outside].max() < 6e-4


def test_what_lies_inside_does_not_count():
    """A ball in a ball, as an eyeball's back in the skull: the middle is deep inside, not near a surface."""
    solid = Solid(*together(ball(0.1), ball(0.03)))
    assert solid.measure(np.zeros((1, 3)), np.inf).sdf[0] == pytest.approx(-0.1, abs=3e-4)
    assert len(solid.triangles) == len(ball()[1])


def test_a_hole_is_closed_by_a_membrane():
    vertices, faces = ball()
    open_top = faces[vertices[faces].mean(axis=1)[:, 2] < 0.09]
    solid = Solid(vertices, open_top)
    assert solid.inside(np.array([[0, 0, 0.05], [0, 0, -0.05]])).all()
    assert not solid.inside(np.array([[0, 0, 0.12], [0.2, 0, 0]])).any()


def test_the_limit_clamps_and_names_no_triangle():
    got = Solid(*ball()).measure(np.array([[0, 0, 0], [0.3, 0, 0], [0.105, 0, 0]]), 0.02)
    assert np.allclose(got.sdf, [-0.02, 0.02, 0.005], atol=3e-4)
    assert (got.nearest[:2] == -1).all()
    assert (got.nearest[2] >= 0).all()


def test_signs_shared_along_edges_equal_signs_one_by_one():
    axis = np.linspace(-0.15, 0.15, 25)
    p = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    index = np.arange(len(p)).reshape(25, 25, 25)
    edges = np.concatenate(
        [
            np.stack([index.take(range(24), k).ravel(), index.take(range(1, 25), k).ravel()], 1)
            for k in range(3)
        ]
    )
    solid = Solid(*together(ball(0.1), ball(0.08, (0.11, 0, 0))))
    assert np.array_equal(solid.measure(p, 0.03, edges).sdf, solid.measure(p, 0.03).sdf)


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="mesh with triangles and finite vertices"):
        Solid(np.zeros((3, 3)), np.zeros((0, 3), int))
    with pytest.raises(InputError, match="finite vertices"):
        Solid(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))


def test_the_head_is_solid_where_a_head_is():
    template = load_template()
    solid = Solid(template.vertices, template.triangles)
    spot = {name: template.vertices[i].astype(np.float64) for name, i in template.landmarks.items()}
    front = np.array([0, -0.01, 0])
    within = [spot["nose_tip"] - front, spot["left_eye_centre"] - 0.5 * front, spot["chin"] - front]
    without = [spot["nose_tip"] + front, spot["left_eye_centre"] + 2 * front, spot["crown"] + [0, 0, 0.01]]
    assert solid.inside(np.array(within)).all()
    assert not solid.inside(np.array(without)).any()
    eyes = set(np.flatnonzero(template.regions["eyeballs"] > 0.5))
    seen = [t for t in solid.triangles if set(t) <= eyes]
    assert 0 < len(seen) < 0.7 * 2 * (template.part == 1).sum()  # the fronts only


def test_an_opened_mouth_is_a_hollow():
    template = load_template()
    opened = template.vertices + pose(template.arkit, {"jawOpen": 1.0})
    lips = opened[[template.landmarks["upper_lip"], template.landmarks["lower_lip"]]]
    gap = lips.mean(axis=0, keepdims=True) + np.array([0, 0.002, 0])
    assert not Solid(opened, template.triangles).inside(gap).any()
