"""UVs for a surface without any."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import trimesh

from id3d_engine.errors import MissingDependency
from id3d_engine.geometry.unwrap import unwrap
from id3d_engine.geometry.uv_quality import uv_quality

BALL = trimesh.creation.icosphere(subdivisions=3, radius=0.1)


def test_a_ball_is_laid_out_once_and_the_same_each_time():
    pytest.importorskip("xatlas")
    surface = np.asarray(BALL.vertices), np.asarray(BALL.faces)
    uv = unwrap(surface)
    quality = uv_quality(uv, 512)
    assert uv.shape == (len(BALL.faces), 3, 2)
    assert uv.dtype == np.float32
    assert (quality.outside, quality.empty) == (0, 0)
    assert quality.overlapping < 1e-4
    assert quality.covered > 0.4
    assert quality.flipped == 0
    assert np.array_equal(uv, unwrap(surface))


def test_without_xatlas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(MissingDependency, match=r"pip install 'id3d-engine\[dmtet\]'"):
        unwrap((np.asarray(BALL.vertices), np.asarray(BALL.faces)))
