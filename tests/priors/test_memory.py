"""What a prior takes of a GPU: the order of its resorts without one, and the resorts themselves on one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from id3d_engine.device import release
from id3d_engine.errors import OutOfMemory
from id3d_engine.priors import memory
from id3d_engine.priors.guidance import sds_loss
from id3d_engine.priors.memory import ALL, AtOnce, frugality, settle
from id3d_engine.priors.prior import Prior

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def on_a_gpu_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Prior, int], None]:
    """on_a_gpu_of(prior, gb): as if its networks took 3 GB, the largest of them 2, and an image 4."""

    def settle_in(prior: Prior, gb: int) -> None:
        def peak(work: Callable[[], object], device: torch.device) -> int:
            work()
            return int(4e9 / prior.at_once.tiles**2)

        def free(device: torch.device) -> int:
            return int((gb - (3 if prior.offload is None else 2)) * 1e9)

        monkeypatch.setattr(memory, "_can_be_asked", lambda device: True)
        monkeypatch.setattr(memory, "peak_bytes", peak)
        monkeypatch.setattr(memory, "free_bytes", free)
        settle(prior)

    return settle_in


def test_other_devices_take_all(make_prior: Callable[..., Prior]) -> None:
    prior = make_prior()
    assert (prior.at_once, prior.offload, frugality(prior)) == (ALL, None, "")


@pytest.mark.parametrize(
    ("gb", "at_once", "offloaded", "told"),
    [
        (20, AtOnce(3, 3, 3), False, ""),
        (8, AtOnce(1, 1, 1), True, "its networks take turns on the GPU"),
        (
            5,
            AtOnce(2, 2, 2, 2),
            True,
            "its autoencoder sees images in 2 x 2 tiles and its networks take turns on the GPU",
        ),
        (
            3,
            AtOnce(1, 1, 1, 3),
            True,
            "its autoencoder sees images in 3 x 3 tiles and its networks take turns on the GPU",
        ),
    ],
)
def test_the_first_way_that_fits_is_taken_and_told(
    make_prior: Callable[..., Prior],
    on_a_gpu_of: Callable[[Prior, int], None],
    gb: int,
    at_once: AtOnce,
    offloaded: bool,
    told: str,
) -> None:
    prior = make_prior()
    on_a_gpu_of(prior, gb)
    assert (prior.at_once, prior.offload is not None) == (at_once, offloaded)
    assert frugality(prior) == (f"to fit this GPU the geometry prior is slower: {told}" if told else "")


def test_where_nothing_fits_a_sentence_says_what_is_missing(
    make_prior: Callable[..., Prior], on_a_gpu_of: Callable[[Prior, int], None]
) -> None:
    wanted = "the GPU has 0.0 GB free and this prior needs 0.6 GB for a single image: close other programs"
    with pytest.raises(OutOfMemory, match=re.escape(wanted)):
        on_a_gpu_of(make_prior(), 2)


@contextmanager
def gpu_of(gb: float) -> Iterator[None]:
    """This process has so much of the GPU, and gives it back."""
    release()
    before, total = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[1]
    if gb * 1e9 > total:
        pytest.skip(f"this GPU has less than {gb} GB")
    torch.cuda.set_per_process_memory_fraction(gb * 1e9 / total)
    torch.cuda.reset_peak_memory_stats()
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    release()
    assert torch.cuda.memory_allocated() == before


def step(prior: Prior) -> None:
    """Of score distillation and of the refined form, on two images."""
    images = torch.rand(2, 3, prior.image_size, prior.image_size, device=prior.device, requires_grad=True)
    t, conditions = torch.tensor([300, 600]), prior.conditions(None, None, ["front view", "back view"])
    sds_loss(prior, images, conditions, t).mean().backward()
    assert images.grad is not None and bool(images.grad.isfinite().all() & (images.grad != 0).any())
    latents = prior.denoise(prior.noise(2), t, conditions, steps=2, guidance_scale=2.0)
    assert bool(prior.decode(latents).isfinite().all())


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("gb", "tiled", "offloaded"), [(8.0, False, False), (4.0, False, True), (2.5, None, True)]
)
def test_a_small_gpu_takes_a_stable_diffusion_step(
    gb: float, tiled: bool | None, offloaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the full architecture at 512 px, with random weights: 2.3 GB, of which the denoiser 1.9."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from random_prior import random_prior

    with gpu_of(gb):
        prior = random_prior("geometry", "cuda")
        assert (prior.offload is not None) == offloaded
        assert tiled is None or (prior.at_once.tiles > 1) == tiled
        assert bool(frugality(prior)) == (gb < 8)
        step(prior)
        assert torch.cuda.max_memory_reserved() <= gb * 1e9
        del prior


@pytest.mark.gpu
def test_on_too_small_a_gpu_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    from random_prior import random_prior

    with gpu_of(1.5), pytest.raises(OutOfMemory, match=r"the GPU has .* GB free and this prior needs"):
        random_prior("geometry", "cuda")
