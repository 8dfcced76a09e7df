"""Subdividing eyeballs and unfolding skin, on shapes with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.assets.subdivide import catmull_clark
from id3d_engine.assets.unfold import border_loops, cut, unfold

CUBE = np.array(
    [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], np.int64
)
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


def test_one_catmull_clark_step_of_a_cube_is_the_textbook_one():
    step = catmull_clark(CUBE, 8)
    out = step.operator @ CORNERS
    assert out.shape == (8 + 12 + 6, 3) and step.faces.shape == (24, 4)
    # (F + 2R + (n - 3) P) / n with n = 3: a corner of the cube goes to 5/9 of itself.
    assert np.allclose(out[:8], CORNERS * 5 / 9)
    assert np.allclose(np.sort(np.abs(out[8:20]), axis=1), [0, 0.75, 0.75])
    assert np.allclose(np.linalg.norm(out[20:], axis=1), 1)
    assert np.allclose(step.operator.sum(axis=1), 1)


def test_subdivided_faces_keep_their_orientation_and_share_edges():
    step = catmull_clark(CUBE, 8)
    out = step.operator @ CORNERS
    a, b, c, _ = out[step.faces].transpose(1, 0, 2)
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) > 0).all() or (
        np.einsum("ij,ij->i", np.cross(b - a, c - a), a) < 0
    ).all()
    assert border_loops(step.faces) == []


def test_corner_values_are_bilinear():
    step = catmull_clark(CUBE, 8)
    values = np.arange(48, dtype=np.float32).reshape(6, 4, 2)
    out = step.corner_values(values)
    assert out.shape == (24, 4, 2)
    assert np.allclose(out[0, 2], values[0].mean(axis=0)) and np.allclose(out[0, 0], values[0, 0])


def _grid(rows: int, columns: int) -> np.ndarray:
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).ravel()
    return np.stack([a, a + 1, a + columns + 1, a + columns], axis=1)


def test_a_developable_sheet_unfolds_without_distortion():
    """Half a cylinder: lengths in the plane equal lengths on the surface."""
    rows, columns = 9, 13
    angle, height = np.meshgrid(np.linspace(0, np.pi, columns), np.linspace(0, 1, rows))
    points = np.stack([np.cos(angle), np.sin(angle), height], -1).reshape(-1, 3)
    faces = _grid(rows, columns)
    mesh = cut(faces, np.zeros(len(points), bool))
    assert len(mesh.source) == len(points)
    plane = unfold(mesh, points, np.ones(len(points)))
    for k in range(4):
        a, b = mesh.faces[:, k], mesh.faces[:, (k + 1) % 4]
        flat = np.linalg.norm(plane[a] - plane[b], axis=1)
        curved = np.linalg.norm(points[mesh.source[a]] - points[mesh.source[b]], axis=1)
        assert np.allclose(flat, curved, rtol=0.01)


def test_a_closed_tube_opens_along_its_seam():
    rows, columns = 5, 8
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    a, right = (i * columns + j).ravel(), (i * columns + (j + 1) % columns).ravel()
    faces = np.stack([a, right, right + columns, a + columns], axis=1)
    seam = np.zeros(rows * columns, bool)
    seam[::columns] = True
    mesh = cut(faces, seam)
    assert len(mesh.source) == rows * columns + rows
    assert len(border_loops(faces)) == 2 and len(border_loops(mesh.faces)) == 1


def test_magnified_parts_come_out_larger_and_nothing_folds():
    rows = columns = 11
    x, y = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    points = np.stack([x, y, 0.3 * np.sin(3 * x) * y], -1).reshape(-1, 3)
    faces = _grid(rows, columns)
    magnify = np.where(points[:, 0] < 0.5, 2.0, 1.0)
    mesh = cut(faces, np.zeros(len(points), bool))
    plane = unfold(mesh, points, magnify)
    a, b, c, d = plane[mesh.faces].transpose(1, 0, 2)
    area = _area(a, b, c) + _area(a, c, d)
    assert (area > 0).all()
    left = points[mesh.source[mesh.faces[:, 0]], 0] < 0.4
    right = points[mesh.source[mesh.faces[:, 0]], 0] > 0.6
    assert area[left].mean() / area[right].mean() == pytest.approx(4, rel=0.45)


def _area(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    u, v = b - a, c - a
    return (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
