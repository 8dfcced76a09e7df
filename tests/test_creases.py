"""Smooth normals break where the neck's cap begins, and nowhere that skin goes on."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.creases import creased, creases
from id3d_engine.export.surface import smooth_normals
from id3d_engine.head import Head
from id3d_engine.template import load_template


def prism(sides: int, seam: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A closed prism of quads and triangles; its caps' UVs are islands of their own, or none is."""
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(sides)])
    vertices = np.concatenate([ring, ring + np.array([0, 0, 2]), [[0, 0, 0], [0, 0, 2]]]).astype(np.float32)
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    wall = np.stack([i, j, j + sides, i + sides], 1)
    low = np.stack([j, i, np.full(sides, 2 * sides), np.full(sides, 2 * sides)], 1)
    high = np.stack([i + sides, j + sides, *(np.full(sides, 2 * sides + 1),) * 2], 1)
    faces = np.concatenate([wall, low, high]).astype(np.int32)
    uv = vertices[faces][..., :2] / 4 + 0.25
    if seam:
        uv[sides:] += 0.5
    return vertices, faces, uv.astype(np.float32)


@pytest.mark.parametrize("sides", [6, 24])
def test_bent_seams_are_sharp(sides: int) -> None:
    found = creases(*prism(sides, seam=True))
    ring = {(min(i, (i + 1) % sides), max(i, (i + 1) % sides)) for i in range(sides)}
    high = {(a + sides, b + sides) for a, b in ring}
    assert set(map(tuple, found.tolist())) == ring | high
    assert len(creases(*prism(sides, seam=False))) == 0


def test_walls_and_caps_have_their_own_normals() -> None:
    vertices, faces, uv = prism(24, seam=True)
    keys = np.random.default_rng(0).normal(0, 1, (1, len(vertices), 3)).astype(np.float32)
    before = Head(vertices, faces, uv, np.zeros(len(faces), np.uint8), keys, ("smile",))
    after = creased(before)
    assert len(after.vertices) == len(vertices) + 48
    assert np.array_equal(after.vertices[: len(vertices)], vertices)
    assert np.array_equal(after.vertices[after.faces], vertices[faces])
    assert np.array_equal(after.shape_keys[:, after.faces], keys[:, faces])
    normals = smooth_normals(after.vertices, after.triangles)[after.faces]
    assert np.abs(normals[:24, :, 2]).max() < 1e-6
    assert np.allclose(normals[24:48], [0, 0, -1]) and np.allclose(normals[48:], [0, 0, 1])


def test_the_neck_ends_in_a_crease(template_head: Head) -> None:
    template = load_template()
    after = creased(template_head)
    cap = (template.regions["neck_cap"][template.faces] > 0.5).any(axis=1)
    shared = np.intersect1d(after.faces[cap], after.faces[~cap])
    assert len(np.intersect1d(template.faces[cap], template.faces[~cap])) > 30 and len(shared) == 0
    assert len(after.vertices) - len(template.vertices) < 200
