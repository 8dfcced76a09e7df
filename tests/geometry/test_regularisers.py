"""Each regulariser against a closed form, and its gradient against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh

from id3d_engine.geometry.regularisers import (
    eikonal,
    field_gradient,
    field_smoothness,
    inner_edges,
    laplacian,
    normal_consistency,
    pull_to_start,
    sign_crossing,
)
from id3d_engine.geometry.tet_grid import TetGrid, bcc_lattice, build_grid


def folded(angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Two triangles whose normals differ by `angle`."""
    c, s = math.cos(angle), math.sin(angle)
    vertices = torch.tensor([[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [-c, 0, -s]], dtype=torch.float64)
    return vertices, torch.tensor([[0, 2, 1], [0, 1, 3]])


@pytest.fixture(scope="module")
def grid() -> TetGrid:
    lattice = bcc_lattice((0, 0, 0), (2, 2, 2), 1.0)
    return build_grid(lattice, np.ones(len(lattice.vertices), bool))[0]


@pytest.fixture(scope="module")
def ball() -> tuple[torch.Tensor, torch.Tensor]:
    mesh = trimesh.creation.icosphere(subdivisions=2)
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces)


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 2, 2.5])
def test_normal_consistency_is_one_minus_the_cosine(angle):
    assert float(normal_consistency(*folded(angle))) == pytest.approx(1 - math.cos(angle), abs=1e-9)


def test_inner_edges_leave_out_rims_and_crowded_edges(ball):
    assert len(inner_edges(ball[1])[0]) == 3 * len(ball[1]) // 2
    _, triangles = folded(0.5)
    ends, sides = inner_edges(triangles)
    assert ends.sort(dim=1).values.tolist() == [[0, 1]]
    assert sides.sort(dim=1).values.tolist() == [[0, 1]]
    assert len(inner_edges(torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]]))[0]) == 0


def test_laplacian_of_a_raised_apex():
    """Six neighbours around a vertex raised by h: it lies h above their mean; the rim does not count."""
    ring = [(math.cos(k * math.pi / 3), math.sin(k * math.pi / 3), 0.0) for k in range(6)]
    vertices = torch.tensor([(0.0, 0.0, 0.25), *ring], dtype=torch.float64)
    triangles = torch.tensor([[0, 1 + k, 1 + (k + 1) % 6] for k in range(6)])
    assert float(laplacian(vertices, triangles)) == pytest.approx(0.25**2)
    assert float(laplacian(vertices, triangles, 0.5)) == pytest.approx(0.25)


def test_a_linear_field_has_its_gradient_everywhere(grid):
    slope = torch.tensor([0.5, -1.5, 2.0])
    gradient = field_gradient(grid, grid.vertices, grid.vertices @ slope + 0.3)
    assert torch.allclose(gradient, slope.expand_as(gradient), atol=1e-5)


def test_eikonal_is_zero_for_a_distance_and_grows_with_the_slope(grid):
    direction = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, 3.0]), dim=0)
    for slope in (1.0, 0.5, 3.0):
        field = slope * (grid.vertices @ direction)
        assert float(eikonal(grid, grid.vertices, field)) == pytest.approx((slope - 1) ** 2, abs=1e-6)


def test_sign_crossing_counts_crossed_edges_only(grid):
    inside = grid.vertices[:, 0] < 0.75
    sdf = torch.where(inside, -0.4, 0.4)
    assert float(sign_crossing(grid, sdf, 1.0)) == pytest.approx(2 * math.log1p(math.exp(0.4)), rel=1e-5)
    assert float(sign_crossing(grid, sdf.abs(), 1.0)) == 0


def test_smoothness_and_pull(grid):
    assert float(field_smoothness(grid, torch.full((len(grid.vertices),), 0.7), 1.0)) == 0
    difference = grid.vertices[grid.edges[:, 0], 0] - grid.vertices[grid.edges[:, 1], 0]
    expected = float(difference.square().mean()) * 4 / 0.25
    assert float(field_smoothness(grid, 2 * grid.vertices[:, 0], 0.5)) == pytest.approx(expected, rel=1e-5)
    assert float(pull_to_start(torch.tensor([0.3, -0.1]), 0.1)) == pytest.approx(5.0)


@pytest.mark.parametrize("loss", [normal_consistency, laplacian])
def test_surface_gradients(loss, ball):
    vertices = ball[0] + 0.02 * torch.randn(ball[0].shape, generator=torch.Generator().manual_seed(0))
    vertices.requires_grad_()
    if loss is normal_consistency:  # its weights are held fixed, so lengths must not vary with the step
        value = loss(vertices, ball[1])
        value.backward()
        step = 1e-6 * torch.randn(vertices.shape, generator=torch.Generator().manual_seed(1)).double()
        ends, _ = inner_edges(ball[1])
        with torch.no_grad():
            length = (vertices[ends[:, 0]] - vertices[ends[:, 1]]).norm(dim=1)
            value_up, value_down = (bends(vertices + s * step, ball[1]) for s in (1, -1))
            slope = ((value_up - value_down) * length).sum() / length.sum() / 2
        assert float((vertices.grad * step).sum()) == pytest.approx(float(slope), rel=1e-4)
        return
    assert torch.autograd.gradcheck(lambda v: loss(v, ball[1]), (vertices,), fast_mode=True)


def bends(vertices: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
    a, b, c = vertices[triangles].unbind(1)
    normals = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    _, sides = inner_edges(triangles)
    return 1 - (normals[sides[:, 0]] * normals[sides[:, 1]]).sum(1)


def test_field_gradients(grid):
    generator = torch.Generator().manual_seed(2)
    sdf = torch.randn(len(grid.vertices), generator=generator, dtype=torch.float64)
    sdf = (sdf.sign() * (0.2 + sdf.abs())).requires_grad_()
    positions = grid.vertices.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, s: eikonal(grid, p, s), (positions, sdf), fast_mode=True)
    assert torch.autograd.gradcheck(lambda s: sign_crossing(grid, s, 0.5), (sdf,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda s: field_smoothness(grid, s, 0.5), (sdf,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda s: pull_to_start(s, 0.5), (sdf,), fast_mode=True)


def test_an_empty_surface_costs_nothing():
    nothing = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, 3, dtype=torch.long)
    for loss in (normal_consistency, laplacian):
        assert loss(*nothing).item() == 0
