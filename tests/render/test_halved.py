"""Triangles cut into four: same surface, same maps, shorter edges."""

from __future__ import annotations

import torch

from id3d_engine.render.halved import halved


def square() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two triangles of a unit square, a texture over it."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0.5]])
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return vertices, triangles, vertices[triangles][..., :2].clone()


def area(vertices: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
    a, b, c = vertices[triangles].unbind(1)
    return torch.linalg.cross(b - a, c - a) / 2


def test_the_surface_stays() -> None:
    vertices, triangles, uv = square()
    chosen = torch.tensor([True, False])
    finer = halved(triangles, uv, chosen, vertices, 0.35)
    found = finer.vertices(vertices)
    assert len(finer.pairs) == 2 and len(finer.triangles) == 1 + 16
    assert torch.equal(found[:4], vertices)
    # As large, facing as before; the map lies where it lay.
    areas = area(found, finer.triangles)
    assert torch.allclose(areas.sum(0), area(vertices, triangles).sum(0))
    assert (areas @ area(vertices, triangles)[0] > 0).all()
    assert torch.allclose(found[finer.triangles][..., :2], finer.uv)
    # What is linear in the vertices goes along.
    assert torch.allclose(finer.vertices(vertices * 2 + 1), found * 2 + 1)


def test_what_is_short_or_not_chosen_stays() -> None:
    vertices, triangles, uv = square()
    for chosen, longest in ((torch.tensor([False, False]), 0.1), (torch.tensor([True, True]), 9.0)):
        same = halved(triangles, uv, chosen, vertices, longest)
        assert not same.pairs and torch.equal(same.triangles, triangles) and torch.equal(same.uv, uv)
        assert torch.equal(same.vertices(vertices), vertices)
