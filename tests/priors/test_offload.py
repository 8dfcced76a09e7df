"""Networks that take turns answer the same, and only the one at work is on the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from id3d_engine.device import release
from id3d_engine.priors.offload import Offload
from id3d_engine.priors.prior import Prior


def answers(prior: Prior, text: str) -> list[Tensor]:
    """Of everything that a prior does; text makes it hear what it has not heard yet."""
    g = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, prior.image_size, prior.image_size, generator=g).to(prior.device)
    images.requires_grad_()
    latents = prior.encode(images)
    conditions = prior.conditions(torch.ones(8), "a broad grin", ["front view", "back view"], text)
    eps, x0 = prior.predict(prior.noise(2, g), torch.tensor([300, 700]), conditions, 2.0)
    # Backward after another network's turn, as in score distillation.
    (gradient,) = torch.autograd.grad((latents * x0).sum(), images)
    return [latents.detach(), gradient, eps, prior.decode(x0)]


def test_answers_are_the_same_bits_with_one_network_at_a_time(make_prior: Callable[..., Prior]) -> None:
    prior, other = make_prior(), torch.device("cpu")
    before = answers(prior, "an old man")
    prior.offload = Offload(prior.networks, other)
    at_work: list[nn.Module] = []
    parts = {prior.text_encoder: prior.text_encoder, prior.denoiser: prior.denoiser}
    parts |= {prior.vae.encoder: prior.vae, prior.vae.decoder: prior.vae}

    def hook(module: nn.Module, _: object) -> None:
        assert prior.offload is not None and prior.offload.present is parts[module]
        at_work.append(parts[module])

    for module in parts:
        module.register_forward_pre_hook(hook)
    prior._tokens.clear()
    for was, found in zip(before, answers(prior, "an old man"), strict=True):
        assert torch.equal(was, found)
    turns = [network for network, last in zip(at_work, [None, *at_work], strict=False) if network is not last]
    encoder, denoiser, vae = prior.networks
    assert turns == [vae, encoder, denoiser, vae]
    at_work.clear()
    answers(prior, "an old man")
    assert encoder not in at_work


def test_weights_wait_in_one_place_and_come_as_copies() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(2, 2).requires_grad_(False), nn.BatchNorm1d(2).requires_grad_(False).eval()
    kept = first.weight.data_ptr()
    offload = Offload([first, second], torch.device("meta"))
    assert first.weight.device.type == second.running_mean.device.type == "cpu"
    assert offload(first).weight.device.type == "meta"
    assert isinstance(first.weight, nn.Parameter) and not first.weight.requires_grad
    assert offload(second).running_mean.device.type == second.weight.device.type == "meta"
    assert first.weight.data_ptr() == kept and first.weight.device.type == "cpu"
    offload.rest()
    assert offload.present is None and second.weight.device.type == "cpu"
    assert second(torch.ones(1, 2)).shape == (1, 2)


def test_a_network_that_does_not_fit_leaves_nothing_behind() -> None:
    class Full(torch.Tensor):
        """What no device has room for."""

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func is Tensor.to:
                raise torch.OutOfMemoryError("full")
            return super().__torch_function__(func, types, args, kwargs or {})

    network = nn.Linear(2, 2).requires_grad_(False)
    network.register_buffer("last", torch.ones(2).as_subclass(Full))
    offload = Offload([network], torch.device("meta"))
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError, match="full"):
            offload(network)
        assert offload.present is None and network.weight.device.type == "cpu"


def test_the_denoisers_own_projections_go_with_it(make_prior: Callable[..., Prior]) -> None:
    """What an adapter adds to a UNet is no part of its file, but of its weight."""
    prior = make_prior()
    keys = list(prior.denoiser.unet.state_dict())
    offload = Offload([prior.denoiser], torch.device("meta"))
    processors = [p for p in prior.denoiser.unet.attn_processors.values() if isinstance(p, nn.Module)]
    assert processors and all(p.weight.device.type == "cpu" for p in processors)
    offload(prior.denoiser)
    assert {p.weight.device.type for p in processors} == {"meta"}
    offload.rest()
    assert list(prior.denoiser.unet.state_dict()) == keys
    prior.adapter.remove(prior.denoiser.unet)
    assert list(prior.denoiser.unet.state_dict()) == keys


@pytest.mark.parametrize("tiles", [1, 2])
def test_images_in_turns_and_tiles_too(make_prior: Callable[..., Prior], tiles: int) -> None:
    prior = make_prior()
    prior.at_once = type(prior.at_once)(1, 1, 1, tiles)
    before = answers(prior, "")
    prior.offload = Offload(prior.networks, prior.device)
    assert all(torch.equal(*pair) for pair in zip(before, answers(prior, ""), strict=True))


@pytest.mark.gpu
def test_on_a_gpu_nothing_stays_when_they_rest(prior_folder: Path) -> None:
    release()
    empty = torch.cuda.memory_allocated()
    prior = Prior.load(prior_folder, "geometry", "cuda")
    before = answers(prior, "an old man")
    prior.offload = Offload(prior.networks, prior.device)
    assert all(p.is_pinned() for network in prior.networks for p in network.parameters())
    for was, found in zip(before, answers(prior, "an old man"), strict=True):
        torch.testing.assert_close(found, was, atol=2e-2, rtol=2e-2)
    prior.offload.rest()
    del prior, before, was, found
    release()
    assert torch.cuda.memory_allocated() == empty
