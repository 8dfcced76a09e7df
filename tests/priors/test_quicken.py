"""Compiled or not, a prior answers the same, and a machine that cannot compile goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from id3d_engine.priors import quicken as quicken_module
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.quicken import quicken


def answers(prior: Prior) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, prior.image_size, prior.image_size, generator=g).requires_grad_()
    conditions = prior.conditions(None, "a broad grin", ["front view", "back view"])
    (gradient,) = torch.autograd.grad(prior.encode(images).square().sum(), images)
    eps, x0 = prior.predict(prior.noise(2, g), torch.tensor([300, 700]), conditions, 2.0)
    return [gradient, eps, x0]


def broken(module: object, inputs: object) -> Callable[..., object]:
    raise RuntimeError("no\ncompiler")


@pytest.mark.parametrize("pays", [True, False])
def test_what_is_kept_answers_the_same(
    make_prior: Callable[..., Prior], monkeypatch: pytest.MonkeyPatch, pays: bool
) -> None:
    """Compiled for real, by the backend that needs no compiler of C."""
    prior, notes = make_prior(), []
    before, eager = answers(prior), (prior.denoiser, prior.vae.encoder)
    seconds = iter([2.0, 1.0, 3.0, 2.0] if pays else [1.0, 2.0, 2.0, 3.0])

    def timed(call: Callable[[], object], of: Prior) -> float:
        call()
        return next(seconds)

    monkeypatch.setattr(quicken_module, "_seconds", timed)
    quicken(prior, notes.append, backend="eager")
    assert ((prior.denoiser, prior.vae.encoder) == eager) is not pays
    (note,) = notes
    if pays:
        assert note == "torch.compile: denoiser 2.00 times faster, encoder 1.50 times faster"
    else:
        assert note.count("stays as it is, for compiled it is no faster") == 2
    for was, found in zip(before, answers(prior), strict=True):
        torch.testing.assert_close(found, was, atol=1e-5, rtol=1e-5)


def test_without_a_compiler_nothing_changes(make_prior: Callable[..., Prior]) -> None:
    prior, notes = make_prior(), []
    before, eager = answers(prior), (prior.denoiser, prior.vae.encoder)
    quicken(prior, notes.append, backend=broken)
    assert (prior.denoiser, prior.vae.encoder) == eager
    assert notes[0].count("does not compile here") == 2 and "no compiler" in notes[0]
    assert all(torch.equal(a, b) for a, b in zip(before, answers(prior), strict=True))
