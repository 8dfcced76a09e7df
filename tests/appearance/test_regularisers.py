import numpy as np
import pytest
import torch

from id3d_engine.appearance.atlas import make_atlas
from id3d_engine.appearance.psi_a import CHANNELS, ROUGHNESS, SPECULAR
from id3d_engine.appearance.regularisers import (
    EYE_PRIOR,
    mirror_pairs,
    pull_to_start,
    smoothness,
    surface_loss,
    surface_prior,
    symmetry,
)
from id3d_engine.template import EYE


@pytest.fixture(scope="module")
def atlas(template):
    return make_atlas(template, 64)


def field(atlas, values):
    """(N,) values in every channel of one row."""
    return torch.from_numpy(np.asarray(values, np.float32))[None, :, None].expand(1, -1, CHANNELS)


def test_a_constant_costs_only_the_pull(template, atlas):
    flat = field(atlas, np.full(len(atlas.part), 0.3))
    assert smoothness(flat, atlas) == 0
    assert symmetry(flat, mirror_pairs(template, atlas)) == 0
    assert torch.isclose(pull_to_start(flat), torch.tensor(0.09))


def test_smoothness_is_the_same_ramp_on_any_grid(template):
    cost = []
    for size in (64, 128):
        atlas = make_atlas(template, size)
        cost.append(float(smoothness(field(atlas, atlas.rest[:, 2] * 10), atlas)))
    assert cost[0] == pytest.approx(cost[1], rel=0.25)


def test_noise_costs_more_than_its_smooth_part(atlas):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, len(atlas.part), CHANNELS, generator=generator)
    smooth = field(atlas, np.sin(atlas.rest[:, 2] * 30))
    assert smoothness(noise, atlas) > 10 * smoothness(smooth, atlas)


def test_symmetry_asks_for_equal_halves_only(template, atlas):
    pairs = mirror_pairs(template, atlas)
    even = symmetry(field(atlas, np.abs(atlas.rest[:, 0]) * 20), pairs)
    odd = symmetry(field(atlas, atlas.rest[:, 0] * 20), pairs)
    assert len(pairs.here) > 500
    assert even < 0.01 * odd


def test_mirrored_texels_lie_opposite(template, atlas):
    pairs = mirror_pairs(template, atlas)
    here, there = atlas.rest[pairs.here.numpy()], atlas.rest[pairs.there.numpy()]
    assert np.median(np.linalg.norm(here * [-1, 1, 1] - there, axis=1)) < 0.004
    assert (here[:, 0] > 0).all()


def test_regions_have_their_own_surface(template, atlas):
    expected = surface_prior(template, atlas)
    assert torch.allclose(expected[torch.from_numpy(atlas.part == EYE)], torch.tensor(EYE_PRIOR))
    lips = atlas.points.interpolate(torch.from_numpy(template.regions["lips"])[:, None])[:, 0] > 0.95
    skin = atlas.points.interpolate(torch.from_numpy(template.regions["face"])[:, None])[:, 0] > 0.95
    assert expected[lips, 0].mean() < expected[skin & ~lips, 0].mean() - 0.05
    assert expected.min() > 0.05 and expected.max() < 1


def test_surface_loss_sees_roughness_and_specular_alone(template, atlas):
    expected = surface_prior(template, atlas)
    material = torch.rand(1, len(expected), CHANNELS, generator=torch.Generator().manual_seed(0))
    material[..., ROUGHNESS], material[..., SPECULAR] = expected[:, 0], expected[:, 1]
    assert surface_loss(material, expected) == 0
    material[..., ROUGHNESS] += 0.1
    assert surface_loss(material, expected, spread=0.1) == pytest.approx(0.5, rel=1e-4)


def test_gradients_agree_with_finite_differences(template):
    atlas = make_atlas(template, 16)
    pairs = mirror_pairs(template, atlas)
    x = torch.randn(2, len(atlas.part), CHANNELS, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(x)

    def total(values):
        return smoothness(values, atlas) + symmetry(values, pairs) + pull_to_start(values)

    total(x).backward()
    step = 1e-6
    measured = (total(x + step * direction) - total(x - step * direction)) / (2 * step)
    assert torch.isclose((x.grad * direction).sum(), measured, rtol=1e-5)
