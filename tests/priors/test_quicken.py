"""Compiled or not, a prior answers the same, and a machine that cannot compile goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from id3d_engine.priors import quicken as quicken_module
from id3d_engine.priors.cuda_graphs import Graphed
from id3d_engine.priors.offload import Offload
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.quicken import quicken


def answers(prior: Prior) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, prior.image_size, prior.image_size, generator=g).to(prior.device)
    images.requires_grad_()
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
    quicken(prior, notes.append, compiled=True, backend="eager")
    assert ((prior.denoiser, prior.vae.encoder) == eager) is not pays
    (note,) = notes
    if pays:
        ways = "denoiser 2.00 times faster by torch.compile, encoder 1.50 times faster by torch.compile"
    else:
        ways = "denoiser as ever (torch.compile is no faster), encoder as ever (torch.compile is no faster)"
    assert note == f"computing: {ways}"
    for was, found in zip(before, answers(prior), strict=True):
        torch.testing.assert_close(found, was, atol=1e-5, rtol=1e-5)


def test_without_a_compiler_nothing_changes(make_prior: Callable[..., Prior]) -> None:
    prior, notes = make_prior(), []
    before, eager = answers(prior), (prior.denoiser, prior.vae.encoder)
    quicken(prior, notes.append, compiled=True, backend=broken)
    assert (prior.denoiser, prior.vae.encoder) == eager
    assert notes[0].count("torch.compile does not work here") == 2 and "no compiler" in notes[0]
    assert all(torch.equal(a, b) for a, b in zip(before, answers(prior), strict=True))


def wrong(module: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
    return lambda *args: tuple(2 * x if isinstance(x, torch.Tensor) else x for x in module(*args))


def test_what_answers_otherwise_is_never_kept(
    make_prior: Callable[..., Prior], monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, notes, seconds = make_prior(), [], iter([2.0, 1.0, 2.0, 1.0])
    before = answers(prior)
    monkeypatch.setattr(quicken_module, "_seconds", lambda call, of: next(seconds))
    quicken(prior, notes.append, compiled=True, backend=wrong)
    assert notes[0].count("torch.compile answers otherwise") == 2
    assert all(torch.equal(a, b) for a, b in zip(before, answers(prior), strict=True))


def test_on_a_cpu_nothing_is_tried_unasked(make_prior: Callable[..., Prior]) -> None:
    prior, notes = make_prior(), []
    eager = prior.denoiser
    quicken(prior, notes.append)
    assert (prior.denoiser is eager, notes) == (True, [])


def test_networks_that_move_stay_as_they_are(make_prior: Callable[..., Prior]) -> None:
    prior, notes = make_prior(), []
    prior.offload = Offload(prior.networks, prior.device)
    quicken(prior, notes.append, compiled=True, backend=broken)
    assert notes == []


@pytest.mark.gpu
def test_on_a_gpu_graphs_are_tried_unasked(prior_folder: Path) -> None:
    prior, notes = Prior.load(prior_folder, "geometry", "cuda"), []
    before = answers(prior)
    quicken(prior, notes.append)
    (note,) = notes
    assert note.startswith("computing: denoiser ") and "does not work" not in note
    assert isinstance(prior.denoiser, Graphed) == ("times faster by a CUDA graph" in note)
    for was, found in zip(before, answers(prior), strict=True):
        torch.testing.assert_close(found, was, atol=1e-2, rtol=1e-2)
