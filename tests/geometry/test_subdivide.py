"""One step of subdivision against closed forms, and on the template."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from id3d_engine.geometry.subdivide import subdivide, subdivide_corners
from id3d_engine.template import load_template

CUBE = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]], np.int32
)
CORNERS = np.array(
    [[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]],
    float,
)


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """(side^2,) indices of a square net as quads, and its (u, v)."""
    index = np.arange(side * side, dtype=np.int32).reshape(side, side)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], -1).reshape(-1, 4)
    u, v = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    return quads, np.stack([u.ravel(), v.ravel()], 1)


def torus(around: int, across: int) -> tuple[np.ndarray, np.ndarray]:
    """Quads of a closed net, and its points on a torus of radii 1 and 0.4."""
    i, j = np.meshgrid(np.arange(around), np.arange(across), indexing="ij")
    index = (i * across + j).astype(np.int32)
    quads = np.stack(
        [index, np.roll(index, -1, 0), np.roll(index, (-1, -1), (0, 1)), np.roll(index, -1, 1)], -1
    )
    a, b = 2 * np.pi * i / around, 2 * np.pi * j / across
    points = np.stack(
        [(1 + 0.4 * np.cos(b)) * np.cos(a), (1 + 0.4 * np.cos(b)) * np.sin(a), 0.4 * np.sin(b)], -1
    )
    return quads.reshape(-1, 4), points.reshape(-1, 3)


def test_a_closed_mesh_stays_closed_and_faces_the_same_way():
    fine = subdivide(CUBE, 8)
    points = fine.refine(CORNERS)
    assert points.shape == (8 + 12 + 6, 3) and fine.faces.shape == (24, 4)
    mesh = trimesh.Trimesh(
        points, np.concatenate([fine.faces[:, :3], fine.faces[:, [0, 2, 3]]]), process=False
    )
    assert mesh.is_watertight and mesh.volume > 8
    assert np.array_equal(points[:8], CORNERS.astype(np.float32))
    assert np.allclose(np.asarray(fine.matrix.sum(axis=1)), 1)


def test_a_flat_net_stays_flat_and_even():
    quads, flat = grid(9)
    fine = subdivide(quads, len(flat))
    points = fine.refine(np.concatenate([flat, 0 * flat[:, :1]], 1))
    assert np.abs(points[:, 2]).max() == 0
    middle = np.abs(points[:, :2]).max(axis=1) < 0.3  # far from the border
    assert np.allclose(np.mod(points[middle, :2] * 8 + 1e-4, 1), 0, atol=1e-3)


def test_new_vertices_lie_on_a_smooth_surface():
    """On a torus: far nearer to it than the flat quads' middles, and nearer still on a finer net."""

    def errors(around, across):
        quads, points = torus(around, across)
        fine = subdivide(quads, len(points)).refine(points)[len(points) :]
        flat = points[quads].mean(axis=1)

        def off(x):
            return np.abs(np.hypot(np.hypot(x[:, 0], x[:, 1]) - 1, x[:, 2]) - 0.4).max()

        return off(fine), off(flat)

    coarse, flat = errors(24, 12)
    finer, _ = errors(48, 24)
    assert coarse < flat / 4 and finer < coarse / 8


def test_offsets_stay_where_they_are():
    quads, flat = grid(9)
    fine = subdivide(quads, len(flat))
    offsets = np.where(flat[:, :1] > 0.1, 1.0, 0.0) * np.array([[0.0, 0.0, 1.0]])
    points = fine.refine(np.concatenate([flat, 0 * flat[:, :1]], 1))
    nowhere = np.zeros(len(points), bool)
    moved = np.abs(fine.refine_offsets(offsets, nowhere)).max(axis=1) > 0
    assert not moved[points[:, 0] < -0.01].any() and moved[points[:, 0] > 0.12].all()
    between = np.isclose(points[:, 0], 0.125, atol=0.01)
    assert between.any() and moved[between].all()
    held = np.abs(fine.refine_offsets(offsets, points[:, 0] < 0.2)).max(axis=1) > 0
    assert not held[between].any() and held[points[:, 0] > 0.26].all()


def test_corners_are_cut_as_faces_are():
    quads, flat = grid(4)
    uv = subdivide_corners(flat[quads])
    fine = subdivide(quads, len(flat))
    linear = fine.parents @ flat
    assert np.allclose(uv, linear[fine.faces], atol=1e-6)


@pytest.mark.parametrize("part", ["face", "eyelids", "lips", "eyeballs"])
def test_the_template_keeps_its_size(part):
    """The surface passes through the given vertices, so nothing shrinks; new ones stay near the old quads."""
    template = load_template()
    fine = subdivide(template.faces, len(template.vertices))
    points = fine.refine(template.vertices)
    assert np.array_equal(points[: len(template.vertices)], template.vertices)
    weight = fine.parents @ template.regions[part] > 0.9
    away = np.linalg.norm(points - fine.parents @ template.vertices, axis=1)[weight]
    assert 0 < away.max() < 0.0025
