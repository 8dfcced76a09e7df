"""Mesh quality, alignment, errors and smooth fields against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.geometry.mesh_quality import (
    align,
    inverted,
    key_quality,
    keys_quality,
    surface_error,
    vertex_error,
)
from id3d_engine.rig.smooth import SmoothOffsets, operators


def _sheet(n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    points = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(n - 1), np.arange(n - 1))
    a = (j * n + i).ravel()
    return points, np.concatenate([np.stack([a, a + 1, a + n + 1], 1), np.stack([a, a + n + 1, a + n], 1)])


def test_only_turned_triangles_count_as_inverted():
    points, triangles = _sheet(3)
    assert not inverted(points, points * [2, 3, 1] + 1, triangles).any()
    assert inverted(points, points * [-1, 1, 1], triangles).all()
    lifted = points.copy()
    lifted[4] += [0.9, 0.9, 0]  # the middle vertex beyond the corner
    assert inverted(points, lifted, triangles).sum() == 2


def test_key_quality_reports_stretch_and_size():
    points, triangles = _sheet()
    keys = keys_quality(points, {"wide": points * [1, 0, 0], "none": 0 * points}, triangles)
    assert keys["none"].stretch == pytest.approx(1) and keys["none"].inverted == 0
    assert keys["wide"].stretch == pytest.approx(2) and keys["wide"].largest_m == pytest.approx(1)
    broken = np.full_like(points, np.nan)
    assert not key_quality(points, broken, triangles).finite


def test_alignment_undoes_a_rigid_motion_and_nothing_else():
    random = np.random.default_rng(0)
    points = random.random((30, 3))
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    assert np.allclose(align(points @ turn.T + [1, 2, 3], points), points)
    assert not np.allclose(align(2 * points, points), points, atol=0.05)
    # Weights: outliers without weight do not matter.
    moved = points @ turn.T
    moved[0] += 5
    weights = np.ones(30)
    weights[0] = 0
    assert np.allclose(align(moved, points, weights)[1:], points[1:])


def test_errors_of_parallel_sheets_are_their_distance():
    points, triangles = _sheet()
    shifted = points + np.array([0.05, 0, 0.2])
    inner = np.where((points[:, 0] < 0.9), 1.0, 0.0)
    assert surface_error(shifted, points, triangles, inner, aligned=False) == pytest.approx(0.2)
    assert vertex_error(shifted, points, inner, aligned=False) == pytest.approx(np.hypot(0.05, 0.2))
    assert surface_error(shifted, points, triangles) == pytest.approx(0, abs=1e-9)


def test_errors_refuse_what_cannot_be_compared():
    points, triangles = _sheet()
    with pytest.raises(InputError, match="use one topology"):
        surface_error(points[:-1], points, triangles)
    with pytest.raises(InputError, match="no vertex has weight"):
        surface_error(points, points, triangles, np.zeros(len(points)))


def test_the_laplacian_of_a_quadratic_is_constant_inside():
    points, triangles = _sheet(17)
    operator = operators(points, triangles)
    laplace = -(operator.stiffness @ (points[:, 0] ** 2 + points[:, 1] ** 2)) / operator.mass
    inside = (np.abs(points[:, :2] - 0.5) < 0.35).all(axis=1)
    assert laplace[inside] == pytest.approx(4, rel=0.35)
    linear = operator.stiffness @ points[:, 0]
    assert (
        np.abs(linear[inside]).max() < 0.05 * np.abs(operator.stiffness @ points[:, 0] ** 2)[inside].max() * 5
    )
    assert operator.mass.sum() == pytest.approx(1)


def test_smooth_offsets_start_where_they_are_told_and_keep_fixed_vertices():
    points, triangles = _sheet()
    start = 0.01 * np.sin(3 * points)
    fixed = points[:, 0] == 0
    module = SmoothOffsets(triangles, len(points), strength=5, fixed=fixed, start=start)
    out = module().detach().numpy()
    assert np.allclose(out[~fixed], start[~fixed], atol=1e-6) and np.all(out[fixed] == 0)


def test_smooth_offsets_spread_a_point_s_gradient():
    points, triangles = _sheet()
    module = SmoothOffsets(triangles, len(points), strength=5)
    module()[40, 2].backward()
    gradient = module.u.grad[:, 2].numpy()
    assert gradient[40] == gradient.max() and (gradient > 0).all() and gradient[41] > 0.2 * gradient[40]


def test_the_gradient_of_smooth_offsets_matches_finite_differences():
    points, triangles = _sheet(5)
    module = SmoothOffsets(triangles, len(points), strength=2).double()
    target = torch.from_numpy(np.random.default_rng(1).random(points.shape))

    def loss() -> torch.Tensor:
        return ((module() - target) ** 2).sum()

    loss().backward()
    for index in ((0, 0), (12, 1), (24, 2)):
        with torch.no_grad():
            module.u[index] += 1e-5
            above = loss().item()
            module.u[index] -= 2e-5
            below = loss().item()
            module.u[index] += 1e-5
        assert module.u.grad[index].item() == pytest.approx((above - below) / 2e-5, rel=1e-5)
