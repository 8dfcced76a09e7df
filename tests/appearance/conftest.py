"""The shipped template, a plain start, and a known albedo to find again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from id3d_engine.appearance.atlas import make_atlas
from id3d_engine.appearance.maps import MapSet
from id3d_engine.assets.noise import fbm
from id3d_engine.render.normals import vertex_normals
from id3d_engine.template import SKIN, HeadTemplate, load_template

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def template() -> HeadTemplate:
    return load_template()


def textures(template: HeadTemplate, albedo: np.ndarray, size: int) -> MapSet:
    """(N, 3) albedo of the covered texels, even roughness and specular."""
    image = make_atlas(template, size).image(torch.from_numpy(albedo.astype(np.float32)))
    flat = np.ones((size, size), np.float32)
    return MapSet(image.permute(1, 2, 0).contiguous().numpy(), 0.5 * flat, 0.46 * flat)


@pytest.fixture(scope="session")
def start(template: HeadTemplate) -> MapSet:
    """Plain skin with a fine grain."""
    grain = fbm(make_atlas(template, 256).rest, 400.0, 5, octaves=3)[:, None]
    return textures(template, np.array([0.72, 0.52, 0.43]) * (1 + 0.08 * grain), 256)


TOWARDS = np.array([(0.0, -1.0, 0.0), (0.0, -0.6, 0.8), (0.8, -0.6, 0.0), (0.0, 0.0, 1.0)])
"""Where light comes from on average, and from one side."""


def _shading(template: HeadTemplate, size: int) -> np.ndarray:
    normals = vertex_normals(torch.from_numpy(template.vertices), torch.from_numpy(template.triangles))
    return np.clip(make_atlas(template, size).points.interpolate(normals).numpy() @ TOWARDS.T, 0, None)


@pytest.fixture(scope="session")
def shading(template: HeadTemplate) -> np.ndarray:
    """(N, 4) Lambert shading of the covered texels under a light from each direction."""
    return _shading(template, 256)


@pytest.fixture(scope="session")
def skin(template: HeadTemplate) -> np.ndarray:
    """Numbers of the outer skin's texels: not eyes, mouth, nor the sockets behind the eyes."""
    atlas = make_atlas(template, 256)
    socket = atlas.points.interpolate(torch.from_numpy(template.regions["eye_sockets"])[:, None])
    return np.flatnonzero((atlas.part == SKIN) & (socket[:, 0].numpy() < 0.1) & (atlas.rest[:, 2] > 0))


@pytest.fixture(scope="session")
def goal(template: HeadTemplate, start: MapSet, skin: np.ndarray, shading: np.ndarray) -> MapSet:
    """The start under a smooth, strong pattern of colour; eyes and mouth as they were.

    The pattern itself has nothing of any shading in it, so what a painted head has of it was burnt in.
    """
    atlas = make_atlas(template, 256)
    plain = start.albedo_srgb.reshape(-1, 3)[atlas.texel.numpy()]
    pattern = np.zeros_like(plain)
    noise = np.stack([fbm(atlas.rest[skin], 22.0, k) for k in range(3)], 1) * 0.5
    light = np.column_stack([np.ones(len(skin)), shading[skin]])
    pattern[skin] = noise - light @ np.linalg.lstsq(light, noise, rcond=None)[0]
    known = np.clip(plain + pattern, 0.05, 0.95)
    return replace(start, albedo_srgb=textures(template, known, 256).albedo_srgb)
