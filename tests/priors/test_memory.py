"""What a prior takes of a GPU: the order of its resorts without one, and the resorts themselves on one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch

from id3d_engine.errors import OutOfMemory
from id3d_engine.priors import memory
from id3d_engine.priors.memory import ALL, AtOnce, frugality, settle
from id3d_engine.priors.prior import Prior


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
        (5, AtOnce(1, 1, 1, 2), False, "its autoencoder sees images in 2 x 2 tiles"),
        (4, AtOnce(1, 1, 1, 3), False, "its autoencoder sees images in 3 x 3 tiles"),
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
    assert frugality(prior) == (f"the geometry prior is slower, to fit: {told}" if told else "")


def test_where_nothing_fits_a_sentence_says_what_is_missing(
    make_prior: Callable[..., Prior], on_a_gpu_of: Callable[[Prior, int], None]
) -> None:
    wanted = "the GPU has 0.0 GB free and this prior needs 0.6 GB for a single image: close other programs"
    with pytest.raises(OutOfMemory, match=re.escape(wanted)):
        on_a_gpu_of(make_prior(), 2)
