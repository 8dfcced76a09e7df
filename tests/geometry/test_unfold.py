"""Folds in shape keys open, and nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.geometry.mesh_quality import inverted
from id3d_engine.geometry.unfold import unfold, unfold_keys
from id3d_engine.rig.units import transfer_units
from id3d_engine.template import SKIN, load_template


def grid(n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """A flat sheet of n x n vertices one millimetre apart."""
    y, x = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    vertices = np.stack([x, y, np.zeros_like(x)], -1).reshape(-1, 3) * 1e-3
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    b, c, d = a + 1, a + n + 1, a + n
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def test_a_pulled_vertex_gives_way() -> None:
    vertices, triangles = grid()
    offsets = np.zeros_like(vertices)
    offsets[40] = 1.3e-3, 0, 3e-4  # over its right neighbour
    everything = np.ones(len(vertices), bool)
    assert inverted(vertices, vertices + offsets, triangles).sum() >= 2
    found = unfold(vertices, offsets, triangles, everything)
    assert not inverted(vertices, vertices + found, triangles).any()
    moved = np.linalg.norm(found - offsets, axis=1)
    assert 0 < moved.max() < 1.2e-3
    assert moved[[0, 8, 72, 80]].max() < 1e-4  # the sheet's corners are far from the fold


def test_what_may_not_move_does_not() -> None:
    vertices, triangles = grid()
    offsets = np.zeros_like(vertices)
    offsets[40] = 1.3e-3, 0, 3e-4
    movable = np.ones(len(vertices), bool)
    movable[:40] = False
    found = unfold(vertices, offsets, triangles, movable)
    np.testing.assert_array_equal(found[:40], offsets[:40])


def test_a_key_without_folds_is_left_alone() -> None:
    vertices, triangles = grid()
    offsets = np.random.default_rng(0).normal(size=vertices.shape) * 1e-4
    found = unfold(vertices, offsets, triangles, np.ones(len(vertices), bool))
    np.testing.assert_array_equal(found, offsets)


@pytest.mark.parametrize("seed", [None, 3])
def test_units_keep_a_thousandth_of_inverted_skin_at_most(seed: int | None) -> None:
    template = load_template()
    rng = np.random.default_rng(seed)
    shape = np.zeros(len(template.basis)) if seed is None else rng.normal(size=len(template.basis))
    neutral = template.shape(shape.astype(np.float32))
    names = ("eyeBlinkLeft", "eyeBlinkRight", "mouthClose", "mouthFunnel", "jawOpen")
    units = {k: v for k, v in transfer_units(template, neutral).items() if k in names}
    skin = template.triangles[np.tile(template.part == SKIN, 2)]
    assert inverted(neutral, neutral + units["eyeBlinkLeft"], skin).mean() > 2e-3
    for name, offsets in unfold_keys(template, neutral, units).items():
        assert inverted(neutral, neutral + offsets, skin).mean() <= 1e-3, name
        still = np.linalg.norm(units[name], axis=1) <= 2e-6
        np.testing.assert_array_equal(offsets[still], units[name][still].astype(np.float32))
