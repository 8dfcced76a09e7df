"""Maps carried from the template's layout to another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from id3d_engine.appearance.maps import Maps, MapSet
from id3d_engine.geometry.correspondence import Outside, correspond
from id3d_engine.raw.rebake import rebake, turned
from id3d_engine.render.bake import uv_fragments
from id3d_engine.template import load_template

SIZE = 96


@pytest.fixture(scope="module")
def target() -> Outside:
    template = load_template()
    return Outside(template, template.vertices)


@pytest.fixture(scope="module")
def painted() -> Maps:
    """Slow waves over the layout, and a relief that leans."""
    v, u = np.meshgrid(np.linspace(0, 6, SIZE), np.linspace(0, 6, SIZE), indexing="ij")
    albedo = np.stack([0.5 + 0.4 * np.sin(u), 0.5 + 0.4 * np.cos(v), 0.5 + 0.4 * np.sin(u + v)], -1)
    rough, shine = 0.5 + 0.2 * np.cos(u), 0.4 + 0.2 * np.sin(v)
    lean = np.stack([0.3 * np.sin(u), 0.3 * np.cos(v), np.ones_like(u)], -1)
    lean = 0.5 + 0.5 * lean / np.linalg.norm(lean, axis=-1, keepdims=True)
    albedo, rough, shine, lean = (a.astype(np.float32) for a in (albedo, rough, shine, lean))
    half = MapSet(albedo[::2, ::2], rough[::2, ::2], shine[::2, ::2])
    return Maps(albedo, rough, shine, lean, {"smile": half})


@pytest.fixture(scope="module")
def same_layout(target, painted) -> tuple[Maps, np.ndarray]:
    """Baked into the very layout they come from, and the texels it covers."""
    triangles = target.triangles[target.index]
    uv = target.template.triangle_uv[target.index]
    surface = (target.vertices, triangles)
    match = correspond(surface, target, target.template.arkit)
    mask = uv_fragments(torch.from_numpy(np.ascontiguousarray(uv)), SIZE).mask[0].numpy()
    return rebake(painted, target, surface, uv, match), mask


def test_the_same_layout_gets_the_same_maps(same_layout, painted):
    found, mask = same_layout
    for name in ("albedo_srgb", "roughness", "specular"):
        one, other = getattr(found, name), getattr(painted, name)
        assert one.shape == other.shape
        assert one.dtype == np.float32
        assert np.percentile(np.abs(one - other)[mask], 97) < 0.01, name
    assert np.percentile(np.abs(found.normal - painted.normal)[mask], 90) < 0.03


def test_sets_of_expressions_come_along_at_their_size(same_layout, painted):
    found = same_layout[0].sets["smile"]
    assert found.albedo_srgb.shape == (SIZE // 2, SIZE // 2, 3)
    assert np.median(np.abs(found.roughness - painted.sets["smile"].roughness)) < 0.05


def test_gaps_between_charts_are_filled(same_layout):
    found, mask = same_layout
    assert not mask.all()
    assert found.albedo_srgb[~mask].min() > 0.05
    assert np.abs(found.normal[~mask] - 0.5).max(axis=-1).min() > 0.2


def test_turned_takes_one_normal_to_the_other_and_keeps_angles():
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.nn.functional.normalize(torch.randn(3, 50, 3, generator=generator).double(), dim=-1)
    b = torch.nn.functional.normalize(a + b, dim=-1)  # never opposite
    assert torch.allclose(turned(a, a, b), b, atol=1e-9)
    assert torch.allclose((turned(c, a, b) * b).sum(-1), (c * a).sum(-1), atol=1e-9)
    assert torch.equal(turned(a, a, -a), -a)
