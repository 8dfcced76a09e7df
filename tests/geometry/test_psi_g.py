"""Psi_g: the start is exact, outputs are bounded, expressions share weights and keep their own latents."""

from __future__ import annotations

import pytest
import torch

from id3d_engine.geometry.psi_g import PsiG, PsiGConfig, spread_points
from id3d_engine.geometry.tet_grid import SAFE_OFFSET

CONFIG = PsiGConfig(tokens=12, width=32, waves=4)
CELL = 0.01


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(expressions: int = 3, seed: int = 0) -> PsiG:
    anchors = 0.1 * torch.randn(CONFIG.tokens, 3, generator=seeded(5))
    return PsiG(anchors, expressions, CELL, CONFIG, seeded(seed))


def woken(seed: int = 0, size: float = 0.5) -> PsiG:
    """A network whose last layer no longer says zero."""
    model = net(seed=seed)
    with torch.no_grad():
        model.head[-1].weight.normal_(0, size, generator=seeded(7))
    return model


@pytest.fixture
def points() -> torch.Tensor:
    return 0.1 * torch.randn(200, 3, generator=seeded(1))


def test_step_zero_is_the_start(points):
    moved = net()(points, 1)
    assert torch.count_nonzero(moved.residual) == 0
    assert torch.count_nonzero(moved.offset) == 0


def test_the_first_step_already_has_a_gradient(points):
    model = net()
    moved = model(points, 0)
    (moved.residual.sum() + moved.offset.sum()).backward()
    assert model.head[-1].weight.grad.abs().max() > 0


def test_outputs_stay_in_their_bounds(points):
    moved = woken(size=100.0)(points, 0)
    assert moved.residual.abs().max() <= CONFIG.reach_m
    assert moved.residual.abs().max() > 0.9 * CONFIG.reach_m
    assert moved.offset.abs().max() <= SAFE_OFFSET * CELL * (1 + 1e-6)


def test_held_vertices_do_not_move(points):
    free = torch.ones(len(points), 1)
    free[:50] = 0
    moved = woken()(points, 0, free)
    assert torch.count_nonzero(moved.offset[:50]) == 0
    assert (moved.offset[50:].abs().sum(dim=1) > 0).all()


def test_a_vertex_does_not_depend_on_which_others_are_asked(points):
    model = woken()
    whole, part = model(points, 2), model(points[40:90], 2)
    assert torch.allclose(whole.residual[40:90], part.residual, atol=1e-7)
    assert torch.allclose(whole.offset[40:90], part.offset, atol=1e-8)


def test_expressions_start_alike_and_then_differ(points):
    model = woken()
    assert torch.equal(model(points, 0).residual, model(points, 2).residual)
    with torch.no_grad():
        model.own[2].normal_(generator=seeded(8))
    assert not torch.allclose(model(points, 0).residual, model(points, 2).residual, atol=1e-6)
    assert torch.equal(model(points, 0).residual, model(points, 1).residual)


def test_an_expression_that_is_not_asked_keeps_its_latents(points):
    model = woken()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for expression in (1, 0, 0):
        optimizer.zero_grad(set_to_none=True)
        model(points, expression).residual.sum().backward()
        before = model.own[1].detach().clone()
        optimizer.step()
    assert torch.equal(model.own[1], before)
    assert torch.count_nonzero(model.own[2]) == 0


def test_a_vertex_listens_to_near_anchors_most():
    """Self-attention mixes tokens, so the cross-attention alone is asked: no blocks."""
    model = woken()
    model.blocks = torch.nn.ModuleList()
    far = (model.anchors - model.anchors[0]).norm(dim=1).argmax()
    places = model.anchors[[0, int(far)]] / 10
    before = model(places, 0).residual
    with torch.no_grad():
        model.own[0][0].add_(torch.randn(CONFIG.width, generator=seeded(9)))
    change = (model(places, 0).residual - before).abs()
    assert change[0] > 20 * change[1]


def test_the_fused_form_equals_attention_written_out(points):
    model = woken()
    x = points * 10
    query, key = torch.randn(4, 200, 8, generator=seeded(2)), torch.randn(4, 12, 8, generator=seeded(3))
    fused_q, fused_k = model._prefer_near(query, key, x)
    squared = (x[:, None] - model.anchors[None]).square().sum(2)
    widths = torch.exp(model.log_width)[:, None, None]
    plain = query @ key.mT - squared / (2 * widths**2)
    assert torch.allclose((fused_q @ fused_k.mT).softmax(-1), plain.softmax(-1), atol=1e-5)


def test_gradients_agree_with_finite_differences():
    model = woken().double()
    place = 0.1 * torch.randn(5, 3, generator=seeded(4), dtype=torch.float64)

    def field(own: torch.Tensor) -> torch.Tensor:
        x = torch.func.functional_call(model, {"own.0": own}, (place, 0))
        return torch.cat([x.residual * 100, x.offset.flatten() * 1000])

    start = torch.zeros(CONFIG.tokens, CONFIG.width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(field, (start,), eps=1e-5, atol=1e-4, fast_mode=True)


def test_the_same_seed_gives_the_same_network(points):
    assert torch.equal(woken(3)(points, 0).residual, woken(3)(points, 0).residual)
    assert not torch.equal(woken(3)(points, 0).residual, woken(4)(points, 0).residual)


def test_spread_points_are_far_apart():
    line = torch.linspace(0, 1, 101)[:, None] * torch.tensor([[1.0, 0, 0]])
    chosen = spread_points(line, 3)[:, 0].sort().values
    assert torch.allclose(chosen, torch.tensor([0.0, 0.5, 1.0]), atol=0.011)
    assert len(spread_points(line[:2], 5)) == 2
