from __future__ import annotations

import numpy as np
import pytest
import trimesh

from id3d_engine.geometry.intersections import self_intersecting
from id3d_engine.rig.units import pose
from id3d_engine.template import SKIN, load_template


def two(moved: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """A triangle of 10 mm, and another one that stands upright through (0, 0, 0), moved."""
    flat = np.array([[-5.0, -5, 0], [5, -5, 0], [0, 5, 0]])
    upright = np.array([[-2.0, 0, -3], [2, 0, -3], [0, 0, 3]]) + np.array(moved)
    return np.concatenate([flat, upright]) * 1e-3, np.array([[0, 1, 2], [3, 4, 5]])


def test_triangles_that_cross_are_found_and_others_are_not() -> None:
    assert self_intersecting(*two((0, 0, 0))).all()
    assert not self_intersecting(*two((0, 0, 3.1))).any()  # above
    assert not self_intersecting(*two((0, 0, 3.0))).any()  # its edge lies in the plane: it touches
    assert not self_intersecting(*two((7, 0, 0))).any()  # beside
    vertices, triangles = two((0, 0, 0))
    assert not self_intersecting(vertices, np.array([[0, 1, 2], [2, 4, 5]])).any()  # they share a vertex
    assert not self_intersecting(vertices, triangles[:0]).any()


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_two_balls_cross_along_a_ring_whatever_way_they_lie(turn: int) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.05)
    apart = np.roll([0.06, 0.0, 0.0], turn)
    vertices = np.concatenate([ball.vertices, ball.vertices + apart])
    triangles = np.concatenate([ball.faces, ball.faces + len(ball.vertices)])
    found = self_intersecting(vertices, triangles)
    # The balls meet in a circle of radius 0.04 m around the middle.
    middle = vertices[triangles].mean(axis=1) - apart / 2
    along = middle @ apart / np.linalg.norm(apart)
    ring = np.linalg.norm(middle - along[:, None] * apart / np.linalg.norm(apart), axis=1)
    assert found.any()
    assert np.abs(along[found]).max() < 0.008 and np.abs(ring[found] - 0.04).max() < 0.008
    assert not self_intersecting(vertices[: len(ball.vertices)], ball.faces).any()


def by_volumes(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Every pair, by the signs of the tetrahedra that an edge spans with a triangle, without a tolerance."""
    corner = vertices.astype(np.float64)[triangles]

    def volume(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        return np.sign(np.einsum("...i,...i->...", b - a, np.cross(c - a, d - a)))

    crossed = np.zeros(len(triangles), bool)
    for i, (a, b, c) in enumerate(corner):
        others = ~np.isin(triangles, triangles[i]).any(axis=1)
        for begin, end in ((0, 1), (1, 2), (2, 0)):
            p, q = corner[others, begin], corner[others, end]
            apart = volume(p, a, b, c) * volume(q, a, b, c) < 0
            sides = [volume(p, q, a, b), volume(p, q, b, c), volume(p, q, c, a)]
            pierced = np.flatnonzero(others)[apart & (np.abs(sum(sides)) == 3)]
            crossed[pierced] = True
            crossed[i] |= len(pierced) > 0
    return crossed


def test_a_head_agrees_with_every_pair_tried() -> None:
    template = load_template()
    skin = template.triangles[np.tile(template.part, 2) == SKIN]
    around_mouth = template.vertices[skin].mean(axis=1)
    near = skin[np.linalg.norm(around_mouth - around_mouth[around_mouth[:, 1].argmin()], axis=1) < 0.05]
    posed = template.vertices + pose(template.arkit, {"mouthClose": 1.0})
    ours, theirs = self_intersecting(posed, near), by_volumes(posed, near)
    assert ours.any()
    assert (ours != theirs).mean() < 0.01
