"""The lattice: fills its box, conforms, stays oriented, and narrows without losing anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.geometry.tet_grid import (
    SAFE_OFFSET,
    TET_EDGES,
    band,
    bcc_lattice,
    build_grid,
    crossing,
    cut_ends,
)

CELL = 0.1


@pytest.fixture(scope="module")
def lattice():
    return bcc_lattice((-0.2, -0.3, 0.0), (0.2, 0.3, 0.55), CELL)


@pytest.fixture(scope="module")
def grid(lattice):
    return build_grid(lattice, np.ones(len(lattice.vertices), bool))[0]


def volumes(vertices, tets):
    a, b, c, d = (vertices[tets[:, i]].astype(np.float64) for i in range(4))
    return np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a) / 6


def test_tetrahedra_are_positive_and_fill_the_box(lattice):
    volume = volumes(lattice.vertices, lattice.tets)
    assert volume.min() > 0
    assert volume.sum() == pytest.approx(0.4 * 0.6 * 0.6, rel=1e-5)  # rounded up to whole cells


def test_inner_faces_belong_to_two_tetrahedra_and_outer_ones_lie_on_the_box(lattice):
    faces = np.sort(lattice.tets[:, [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]].reshape(-1, 3), axis=1)
    unique, count = np.unique(faces, axis=0, return_counts=True)
    assert set(count) == {1, 2}
    assert lattice.on_face[unique[count == 1]].all()


def test_edges_have_the_two_lengths_of_the_lattice(lattice, grid):
    ends = grid.vertices[grid.edges]
    inner = torch.from_numpy(~lattice.on_face)[grid.edges].all(dim=1)
    length = (ends[:, 0] - ends[:, 1]).norm(dim=1)[inner] / CELL
    assert torch.isclose(length, torch.tensor(1.0), atol=1e-4).any()
    assert (torch.isclose(length, torch.tensor(1.0), atol=1e-4) | (length - 0.75**0.5).abs().lt(1e-4)).all()


def test_tet_edges_name_each_edge_once(grid):
    assert len(torch.unique(grid.edges, dim=0)) == len(grid.edges)
    wanted = grid.tets[:, TET_EDGES].sort(dim=2).values
    assert torch.equal(grid.edges[grid.tet_edges].sort(dim=2).values, wanted)


def test_the_largest_allowed_offset_turns_no_tetrahedron_over(grid):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        corner = torch.randint(0, 2, grid.vertices.shape, generator=generator) * 2.0 - 1
        moved = grid.vertices + SAFE_OFFSET * CELL * corner * grid.free
        regular = grid.free[grid.tets].squeeze(2).all(dim=1)  # halved pyramids at the box are not evaluated
        assert volumes(moved.numpy(), grid.tets[regular].numpy()).min() > 0


def test_narrow_keeps_coordinates_and_topology(grid):
    sdf = grid.vertices.sub(torch.tensor([0.0, 0.0, 0.3])).norm(dim=1) - 0.15
    keep = band(grid, sdf)
    small, ids = grid.narrow(keep)
    assert 0 < len(small.tets) < len(grid.tets)
    assert torch.equal(small.vertices, grid.vertices[ids])
    assert torch.equal(ids[small.tets], grid.tets[keep])
    assert torch.equal(
        small.edges[small.tet_edges].sort(dim=2).values, small.tets[:, TET_EDGES].sort(dim=2).values
    )


def test_a_margin_catches_what_the_surface_may_reach(grid):
    sdf = grid.vertices.sub(torch.tensor([0.0, 0.0, 0.3])).norm(dim=1) - 0.15
    kept = band(grid, sdf, 0.03)
    assert not (crossing(grid.tets, sdf) & ~kept).any()
    for shift in (-0.029, 0.029):
        assert not (crossing(grid.tets, sdf + shift) & ~kept).any()


def test_ends_of_cut_edges_are_the_corners_of_crossed_tetrahedra(grid):
    sdf = grid.vertices.sub(torch.tensor([0.0, 0.0, 0.3])).norm(dim=1) - 0.15
    corners = torch.unique(grid.tets[crossing(grid.tets, sdf)])
    assert torch.equal(torch.unique(cut_ends(grid.edges, sdf)), corners)


def test_a_part_of_the_lattice_keeps_whole_tetrahedra_only(lattice):
    near = lattice.vertices[:, 2] < 0.3
    grid, ids = build_grid(lattice, near)
    assert near[ids].all()
    assert len(grid.tets) == near[lattice.tets].all(axis=1).sum()


def test_unusable_boxes_are_refused(lattice):
    with pytest.raises(InputError, match="positive cell size"):
        bcc_lattice((0, 0, 0), (1, 1, 1), 0.0)
    with pytest.raises(InputError, match="low < high"):
        bcc_lattice((0, 0, 0), (1, -1, 1), 0.1)
    with pytest.raises(InputError, match="outside the grid's box"):
        build_grid(lattice, np.zeros(len(lattice.vertices), bool))
