"""Where distillation starts: the grid's surfaces are the start head's, in every expression."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from id3d_engine.expressions import EXPRESSIONS
from id3d_engine.geometry.fields import PosedHead, StartFields, clean, start_fields
from id3d_engine.geometry.marching_tets import marching_tets
from id3d_engine.geometry.sdf import Solid
from id3d_engine.geometry.tet_grid import bcc_lattice, build_grid
from id3d_engine.rig.units import pose
from id3d_engine.template import load_template

CELL, REACH = 0.012, 0.02


@pytest.fixture(scope="module")
def start() -> PosedHead:
    template = load_template()
    stretch = next(e for e in EXPRESSIONS if e.name == "mouth_stretch")
    offsets = {"mouth_stretch": pose(template.arkit, stretch.recipe)}
    return PosedHead(template.vertices, offsets, template.triangles, template)


@pytest.fixture(scope="module")
def fields(start) -> StartFields:
    return start_fields(start, ("neutral", "mouth_stretch"), CELL, REACH)


@pytest.mark.parametrize("index", [0, 1])
def test_the_surface_is_the_start_head(start, fields, index):
    vertices, triangles = marching_tets(fields.grid, fields.grid.vertices, fields.sdf[index])
    assert len(triangles) > 5000
    solid = Solid(start.vertices(fields.names[index]), start.triangles)
    error = solid.distance(vertices.numpy(), 0.05)
    assert np.mean(error) < 0.05 * CELL
    # ... and the other way round: no part of the head is missing. (Mouth, sockets and nostrils are filled.)
    seen = start.vertices(fields.names[index])[np.unique(solid.triangles)].astype(np.float64)
    back = Solid(vertices.numpy(), triangles.numpy()).distance(seen, 0.05)
    assert np.median(back) < 0.12 * CELL


def test_the_surface_has_no_inner_walls(fields):
    """Mouth, sockets and nose are filled: one closed surface, whose field changes sign nowhere inside."""
    _, triangles = marching_tets(fields.grid, fields.grid.vertices, fields.sdf[0])
    edges = torch.cat([triangles, triangles.roll(-1, 1)]).reshape(2, -1, 3)
    directed = torch.stack([edges[0].flatten(), edges[1].flatten()], 1)
    assert torch.equal(
        torch.unique(directed, dim=0), torch.unique(directed.flip(1), dim=0)
    )  # every edge has its opposite: closed


def test_places_carry_an_expression_back_to_the_neutral(start, fields):
    assert torch.equal(fields.place[0], fields.grid.vertices)
    chin = start.template.landmarks["chin"]
    lowered, neutral = start.vertices("mouth_stretch")[chin], start.neutral[chin]
    assert np.linalg.norm(lowered - neutral) > 0.01
    nearest = int((fields.grid.vertices - torch.from_numpy(lowered)).norm(dim=1).argmin())
    carried = fields.place[1, nearest] - fields.grid.vertices[nearest]
    assert torch.allclose(carried, torch.from_numpy(neutral - lowered), atol=0.004)
    crown = torch.from_numpy(start.neutral[start.template.landmarks["crown"]].copy())
    still = (fields.grid.vertices - crown).norm(dim=1) < 0.02
    assert torch.allclose(fields.place[1, still], fields.grid.vertices[still], atol=1e-5)


def test_clean_fills_bubbles_and_drops_specks():
    lattice = bcc_lattice((-0.2,) * 3, (0.2,) * 3, 0.02)
    grid, _ = build_grid(lattice, np.ones(len(lattice.vertices), bool))
    radius = grid.vertices.norm(dim=1).numpy()
    ball = radius - 0.15
    bubble = np.where(radius < 0.05, 0.03, ball).astype(np.float32)
    assert np.array_equal(clean(grid, bubble) < 0, ball < 0)
    speck = ball.copy()
    speck[np.argmax(radius)] = -0.01
    assert np.array_equal(clean(grid, speck.astype(np.float32)) < 0, ball < 0)


def test_clean_closes_creases_and_keeps_open_space():
    lattice = bcc_lattice((-0.2,) * 3, (0.2,) * 3, 0.02)
    grid, _ = build_grid(lattice, np.ones(len(lattice.vertices), bool))
    x, _, z = grid.vertices.numpy().T
    floor = z.copy()
    slit = np.maximum(floor, -np.inf)
    narrow = np.where(z < 0, 0.004 - np.abs(x), np.maximum(z, 0.004 - np.abs(x)))  # 8 mm wide, cell 20 mm
    wide = np.where(z < 0, 0.06 - np.abs(x), np.maximum(z, 0.06 - np.abs(x)))
    assert ((clean(grid, narrow.astype(np.float32)) < 0) == (slit < 0))[z < -0.02].all()
    kept = clean(grid, wide.astype(np.float32))
    assert (kept[(z < -0.02) & (np.abs(x) < 0.04)] > 0).all()
