"""Orientation first: a mirrored surface still improves its silhouette while it rots."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from id3d_engine.errors import Id3dError
from id3d_engine.geometry.marching_tets import case_table, marching_tets
from id3d_engine.geometry.tet_grid import TET_EDGES, TetGrid, bcc_lattice, build_grid


def one_tet() -> TetGrid:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    edges = torch.tensor(TET_EDGES)
    return TetGrid(
        vertices, torch.tensor([[0, 1, 2, 3]]), edges, torch.arange(6)[None], torch.ones(4, 1), 1.0
    )


@pytest.fixture(scope="module")
def ball_grid() -> TetGrid:
    lattice = bcc_lattice((-0.15,) * 3, (0.15,) * 3, 0.02)
    return build_grid(lattice, np.ones(len(lattice.vertices), bool))[0]


def ball(grid: TetGrid, radius: float = 0.1) -> torch.Tensor:
    return grid.vertices.norm(dim=1) - radius


@pytest.mark.parametrize("pattern", range(1, 15))
def test_every_case_faces_the_positive_side(pattern):
    grid = one_tet()
    inside = torch.tensor([bool(pattern >> i & 1) for i in range(4)])
    sdf = torch.where(inside, -0.3, 0.7).double()
    vertices, triangles = marching_tets(grid, grid.vertices, sdf)
    assert len(triangles) == (2 if inside.sum() == 2 else 1)
    a, b, c = vertices[triangles].unbind(1)
    outward = grid.vertices[~inside].mean(0) - grid.vertices[inside].mean(0)
    assert (torch.linalg.cross(b - a, c - a) @ outward > 0).all()


def test_no_surface_where_no_sign_changes():
    assert case_table()[0] == () == case_table()[15]
    grid = one_tet()
    for value in (-1.0, 0.0, 1.0):  # exactly 0 counts as outside
        vertices, triangles = marching_tets(grid, grid.vertices, torch.full((4,), value).double())
        assert vertices.shape == (0, 3)
        assert triangles.shape == (0, 3)


def test_a_ball_is_closed_outward_and_round(ball_grid):
    vertices, triangles = marching_tets(ball_grid, ball_grid.vertices, ball(ball_grid))
    mesh = trimesh.Trimesh(vertices.numpy(), triangles.numpy(), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.euler_number == 2
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.1**3, rel=0.02)  # positive: outward
    assert (vertices.norm(dim=1) - 0.1).abs().max() < 0.02**2 / (8 * 0.1) * 1.05  # chord error h^2 / 8r


def test_vertices_are_shared_one_an_edge(ball_grid):
    sdf = ball(ball_grid)
    vertices, triangles = marching_tets(ball_grid, ball_grid.vertices, sdf)
    cut = ((sdf < 0)[ball_grid.edges[:, 0]] != (sdf < 0)[ball_grid.edges[:, 1]]).sum()
    assert len(vertices) == cut == len(torch.unique(triangles))


def test_a_linear_field_gives_its_plane_exactly(ball_grid):
    normal = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -0.5]), dim=0)
    vertices, triangles = marching_tets(ball_grid, ball_grid.vertices, ball_grid.vertices @ normal - 0.031)
    assert (vertices @ normal - 0.031).abs().max() < 1e-6
    a, b, c = vertices[triangles].double().unbind(1)
    area = torch.linalg.cross(b - a, c - a)
    assert (area @ normal.double() > -1e-12).all()


def test_gradients_agree_with_finite_differences():
    lattice = bcc_lattice((0, 0, 0), (2.0, 1.0, 1.0), 1.0)
    grid = build_grid(lattice, np.ones(len(lattice.vertices), bool))[0]
    generator = torch.Generator().manual_seed(1)
    positions = grid.vertices.double().requires_grad_()
    sdf = torch.randn(len(positions), generator=generator, dtype=torch.float64)
    sdf = (sdf.sign() * (0.3 + sdf.abs())).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, s: marching_tets(grid, p, s)[0], (positions, sdf))


def test_raising_the_field_moves_the_surface_inward(ball_grid):
    sdf = ball(ball_grid).requires_grad_()
    vertices, _ = marching_tets(ball_grid, ball_grid.vertices, sdf)
    vertices.norm(dim=1).mean().backward()
    assert sdf.grad.sum() < 0


def test_a_field_that_is_not_finite_is_refused(ball_grid):
    sdf = ball(ball_grid)
    sdf[3] = torch.nan
    with pytest.raises(Id3dError, match="NaN or infinite: lower the learning rate"):
        marching_tets(ball_grid, ball_grid.vertices, sdf)
