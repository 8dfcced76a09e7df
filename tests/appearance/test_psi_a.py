import numpy as np
import torch

from id3d_engine.appearance.atlas import make_atlas
from id3d_engine.appearance.psi_a import (
    CHANNELS,
    PsiA,
    PsiAConfig,
    SurfacePoints,
    apply_residual,
    farthest_points,
)

SMALL = PsiAConfig(anchors=24, width=32, heads=2, blocks=1, latents=3)


def network(template, expressions=2, seed=0, trained=True):
    net = PsiA(template, expressions, torch.Generator().manual_seed(seed), SMALL)
    if trained:  # the zero layer hides everything before it
        with torch.no_grad():
            g = torch.Generator().manual_seed(1)
            net.last.weight.copy_(torch.randn(net.last.weight.shape, generator=g))
            net.vertex_features.copy_(torch.randn(net.vertex_features.shape, generator=g))
    return net


def test_step_zero_is_the_start(template):
    atlas = make_atlas(template, 32)
    residual = network(template, trained=False)(atlas.points, torch.tensor([0, 1]))
    assert residual.shape == (2, len(atlas.texel), CHANNELS)
    assert residual.abs().max() == 0
    start = torch.rand(50, CHANNELS, generator=torch.Generator().manual_seed(0))
    start[:, 3].clamp_(0.05)
    start[0], start[1] = torch.tensor([0.0, 0, 0, 0.05, 0]), torch.ones(5)
    assert torch.allclose(apply_residual(start, torch.zeros(50, CHANNELS)), start, atol=1e-5)


def test_bounds_hold_for_any_residual():
    g = torch.Generator().manual_seed(0)
    start = torch.rand(500, CHANNELS, generator=g).clamp(0.05)
    moved = apply_residual(start, torch.randn(500, CHANNELS, generator=g) * 50)
    assert moved.min() >= 0 and moved.max() <= 1
    assert moved[:, 3].min() >= 0.05 - 1e-6


def test_a_black_start_can_become_bright():
    moved = apply_residual(torch.tensor([[0.0, 0, 0, 0.05, 0]]), torch.full((1, 5), 10.0))
    assert moved.min() > 0.9


def test_gradient_of_the_residual_agrees_with_finite_differences():
    start = torch.tensor([[0.2, 0.5, 0.9, 0.3, 0.4]], dtype=torch.float64)
    x = torch.full((1, 5), 0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: apply_residual(start, r), x)


def test_both_sides_of_a_seam_get_one_value(template):
    # Two texels whose points coincide although their charts' coordinates do not.
    net = network(template)
    a = SurfacePoints(torch.tensor([[5, 6, 7]]), torch.tensor([[0.5, 0.5, 0.0]]))
    b = SurfacePoints(torch.tensor([[6, 5, 90]]), torch.tensor([[0.5, 0.5, 0.0]]))
    index = torch.tensor([0])
    assert torch.allclose(net(a, index), net(b, index), atol=1e-6)


def test_expressions_have_latents_of_their_own(template):
    atlas = make_atlas(template, 32)
    out = network(template)(atlas.points, torch.tensor([0, 1]))
    assert (out[0] - out[1]).abs().mean() > 1e-3


def test_a_batch_equals_single_runs(template):
    atlas, net = make_atlas(template, 32), network(template)
    both = net(atlas.points, torch.tensor([1, 0]))
    for row, index in enumerate((1, 0)):
        assert torch.allclose(both[row], net(atlas.points, torch.tensor([index]))[0], atol=1e-5)


def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone(template):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    one, same, other = (network(template, seed=s).state_dict() for s in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["latents"], other["latents"])


def test_it_learns_a_pattern_on_the_surface(template):
    atlas = make_atlas(template, 32)
    net = network(template, expressions=1, trained=False)
    wanted = torch.zeros(1, len(atlas.texel), CHANNELS)
    wanted[..., 0] = torch.from_numpy(np.sign(atlas.rest[:, 0])) * 0.8
    wanted[..., 1] = torch.from_numpy(np.sin(atlas.rest[:, 2] * 60))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    first = wanted.square().mean().item()
    for _ in range(40):
        optimizer.zero_grad()
        loss = (net(atlas.points, torch.tensor([0])) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * first


def test_farthest_points_spread():
    line = np.linspace(0, 1, 101)[:, None]
    assert sorted(farthest_points(line, 3).tolist()) == [0, 50, 100]
