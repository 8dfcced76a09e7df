from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.geometry.uv_quality import uv_quality

SQUARE = np.array([[[0, 0], [0.5, 0], [0.5, 0.5]], [[0, 0], [0.5, 0.5], [0, 0.5]]])


def test_a_quarter_of_the_square() -> None:
    found = uv_quality(SQUARE, 64)
    assert found.covered == 0.25
    assert (found.outside, found.overlapping, found.flipped, found.empty) == (0, 0, 0, 0)


def test_overlap_is_measured_and_shared_edges_are_none() -> None:
    moved = SQUARE + np.array([0.25, 0])
    found = uv_quality(np.concatenate([SQUARE, moved]), 64)
    assert found.covered == pytest.approx(0.375)
    assert found.overlapping == pytest.approx(1 / 3)
    beside = uv_quality(np.concatenate([SQUARE, SQUARE + np.array([0.5, 0])]), 64)
    assert (beside.covered, beside.overlapping) == (0.5, 0)


def test_outside_mirrored_and_empty_are_counted() -> None:
    mirrored = SQUARE[:, ::-1] + np.array([0, 0.6])  # three corners above 1
    line = np.array([[[0.6, 0.1], [0.7, 0.1], [0.8, 0.1]]])
    found = uv_quality(np.concatenate([SQUARE, mirrored, line]), 64)
    assert found.outside == 3
    assert found.flipped == 0.5
    assert found.empty == 1


def test_no_triangle_at_all() -> None:
    found = uv_quality(np.zeros((0, 3, 2)), 16)
    assert (found.covered, found.overlapping, found.flipped) == (0, 0, 0)
