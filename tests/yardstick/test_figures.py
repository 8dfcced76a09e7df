"""Figures of heads whose errors are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from id3d_engine.appearance.atlas import make_atlas
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.expressions import EXPRESSION_NAMES
from id3d_engine.geometry.closest import vertex_normals
from id3d_engine.head import Head
from id3d_engine.priors.start import HeadStart
from id3d_engine.template import load_template
from id3d_engine.yardstick.figures import albedo_figures, expressions_right, figures
from id3d_engine.yardstick.methods import dressed


@pytest.fixture(scope="module")
def asset():
    return sample_asset(load_template(), 3)


@pytest.fixture(scope="module")
def perfect(asset) -> Head:
    """The true head, as a method would hand it over."""
    head = dressed(HeadStart(asset.skin, asset.appearance), load_template())
    keys = head.shape_keys.copy()
    for name in EXPRESSION_NAMES:
        keys[head.names.index(name)] = asset.expression(name)
    return replace(head, shape_keys=keys)


def test_a_perfect_head(asset, perfect: Head) -> None:
    found = figures(perfect, asset, load_template())
    for name in ("face_mm", "head_mm", "face_normals_deg", "expression_mm"):
        assert found[name] == pytest.approx(0, abs=1e-3)
    assert found["albedo_error"] == 0 and found["albedo_sharpness"] == 1
    assert found["expressions_right_of_13"] == 13


def test_known_errors(asset, perfect: Head) -> None:
    """Moved as a whole it is still perfect; 2 % larger it is out by 2 % of the way from its middle."""
    template = load_template()
    moved = figures(replace(perfect, vertices=perfect.vertices + np.float32(0.1)), asset, template)
    assert moved["face_mm"] == pytest.approx(0, abs=1e-3) and moved["face_normals_deg"] < 0.1
    larger = figures(replace(perfect, vertices=perfect.vertices * np.float32(1.02)), asset, template)
    assert 0.3 < larger["face_mm"] < 2 and larger["face_normals_deg"] < 0.1
    half = figures(replace(perfect, shape_keys=perfect.shape_keys / 2), asset, template)
    assert half["expression_mm"] > 0.1


def test_swapped_expressions_are_found_out(asset) -> None:
    true = np.stack([asset.expression(name) for name in EXPRESSION_NAMES])
    swapped = true[[1, 0, *range(2, len(true))]]
    assert (expressions_right(true, true), expressions_right(swapped, true)) == (13, 11)


def test_shadow_and_sharpness(perfect: Head) -> None:
    template = load_template()
    normals = vertex_normals(perfect.vertices, template.triangles)
    even, noise = np.full((256, 256, 3), 0.5), np.random.default_rng(0).uniform(0.4, 0.6, (256, 256, 1))
    speckled = np.repeat(noise, 3, axis=2)
    smooth = even + 0.001 * np.arange(256)[:, None, None] / 256
    sharp = albedo_figures(speckled, smooth, normals, template)
    assert sharp["albedo_sharpness"] > 20 and sharp["albedo_shadow"] < 0.5
    dull = albedo_figures(smooth, speckled, normals, template)
    assert dull["albedo_sharpness_off"] == pytest.approx(sharp["albedo_sharpness_off"])
    assert dull["albedo_sharpness"] < 0.05

    atlas = make_atlas(template, 256)
    shade = np.zeros(256 * 256)
    shade[atlas.texel.numpy()] = atlas.points.interpolate(torch.from_numpy(normals)).numpy()[:, 2].clip(0)
    shade = shade.reshape(256, 256, 1)
    burnt, darker = (
        albedo_figures(speckled + share * shade, speckled, normals, template) for share in (0.2, 0.4)
    )
    assert burnt["albedo_shadow"] > 1 and darker["albedo_shadow"] == pytest.approx(2 * burnt["albedo_shadow"])
    # What the true face has, too, is no shadow.
    own = albedo_figures(speckled + 0.4 * shade, speckled + 0.4 * shade, normals, template)
    assert own == {"albedo_error": 0, "albedo_shadow": 0, "albedo_sharpness": 1, "albedo_sharpness_off": 0}
