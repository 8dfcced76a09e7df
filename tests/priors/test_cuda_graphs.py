"""Recorded passes answer as the denoiser does, whatever they are told next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from id3d_engine.device import release
from id3d_engine.priors import cuda_graphs
from id3d_engine.priors.conditions import Conditions
from id3d_engine.priors.cuda_graphs import Graphed
from id3d_engine.priors.prior import Prior

VIEWS = ["front view", "back view", "left side view"]


class Repeating:
    """Records by remembering: repeats a pass on what lies where it read, its answer where that lay."""

    def __init__(self) -> None:
        self.recorded, self.repeated = 0, 0

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        answer = run()
        self.recorded += 1

        def repeat() -> None:
            self.repeated += 1
            answer.copy_(run())

        return repeat, answer


def told(prior: Prior, seed: float, rows: int) -> Conditions:
    return prior.conditions(torch.full((8,), seed), "a broad grin" if seed > 1 else None, VIEWS[:rows])


@contextmanager
def eager(prior: Prior) -> Iterator[None]:
    graphed, prior.denoiser = prior.denoiser, prior.denoiser.eager
    yield
    prior.denoiser = graphed


def agrees(prior: Prior, tolerance: float) -> None:
    """Two persons, three batch sizes, guided and in several steps, one after another."""
    g = torch.Generator().manual_seed(0)
    earlier: list[tuple[Tensor, Tensor]] = []
    for rows, seed in ((2, 1.0), (3, 1.0), (2, 2.0), (1, 2.0), (2, 1.0), (3, 2.0)):
        noise, t, conditions = (
            prior.noise(rows, g),
            torch.tensor([900, 500, 200][:rows]),
            told(prior, seed, rows),
        )
        how = {"steps": 3, "guidance_scale": 2.0}
        with eager(prior):
            wanted = prior.denoise(noise, t, conditions, **how)
        found = prior.denoise(noise, t, conditions, **how)
        torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)
        # An answer is the caller's: what is computed later does not change it.
        assert all(torch.equal(*pair) for pair in earlier)
        earlier.append((found, found.clone()))


def test_each_shape_is_recorded_once_and_hears_anew(make_prior: Callable[..., Prior]) -> None:
    prior, record = make_prior(), Repeating()
    prior.denoiser = Graphed(prior.denoiser, 8, recorder=lambda: record)
    agrees(prior, 0.0)
    assert (record.recorded, record.repeated) == (3, 18)


def test_large_batches_and_gradients_are_computed_as_ever(make_prior: Callable[..., Prior]) -> None:
    prior, record = make_prior(), Repeating()
    prior.denoiser = Graphed(prior.denoiser, 3, recorder=lambda: record)
    prior.predict(prior.noise(2), torch.tensor([300, 600]), told(prior, 1.0, 2), 2.0)
    assert record.recorded == 0
    conditions, latents = told(prior, 1.0, 1), prior.noise(1).requires_grad_()
    heard = prior.denoiser.heard(conditions.text, conditions.identity, conditions.expression)
    prior.denoiser(latents, torch.tensor([300]), heard).sum().backward()
    assert record.recorded == 0 and latents.grad is not None
    with torch.no_grad():
        prior.denoiser(latents, torch.tensor([300]), heard)
    assert record.recorded == 1


def test_of_many_shapes_the_first_are_recorded(
    make_prior: Callable[..., Prior], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "MOST_SHAPES", 1)
    prior, record = make_prior(), Repeating()
    prior.denoiser = Graphed(prior.denoiser, 8, recorder=lambda: record)
    agrees(prior, 0.0)
    assert record.recorded == 1
    prior.denoiser.forget()
    prior.predict(prior.noise(1), torch.tensor([300]), told(prior, 1.0, 1))
    assert record.recorded == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA graph can be recorded here")
def test_what_cannot_be_recorded_is_computed_as_ever(make_prior: Callable[..., Prior]) -> None:
    prior, notes = make_prior(), []
    prior.denoiser = Graphed(prior.denoiser, 8, notes.append)
    agrees(prior, 0.0)
    (note,) = notes
    assert note.startswith("no CUDA graphs from here on: 4 rows could not be recorded (")
    prior.denoiser = Graphed(prior.denoiser.eager, 8)
    with pytest.raises((RuntimeError, AssertionError)):
        prior.predict(prior.noise(1), torch.tensor([300]), told(prior, 1.0, 1))


@pytest.mark.gpu
def test_on_a_gpu_graphs_answer_as_the_denoiser_and_leave_nothing(prior_folder: Path) -> None:
    release()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    prior = Prior.load(prior_folder, "geometry", "cuda")
    prior.denoiser = Graphed(prior.denoiser, 8)
    agrees(prior, 1e-2)
    assert len(prior.denoiser._passes) == 3
    # Other work on the GPU, its memory given back: recordings own theirs.
    torch.rand(2048, 2048, device="cuda") @ torch.rand(2048, 2048, device="cuda")
    release()
    agrees(prior, 1e-2)
    del prior
    release()
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == before
