from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from id3d_engine.device import release
from id3d_engine.errors import InputError
from id3d_engine.priors import locate as locate_module
from id3d_engine.priors.memory import AtOnce
from id3d_engine.priors.prior import Prior, guide

MakePrior = Callable[..., Prior]
VIEWS = ["front view", "back view"]


@pytest.fixture
def prior(make_prior: MakePrior) -> Prior:
    return make_prior()


def rows(prior: Prior) -> tuple[torch.Tensor, torch.Tensor]:
    return prior.noise(2, torch.Generator().manual_seed(0)), torch.tensor([300, 800])


def embedding(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, generator=torch.Generator().manual_seed(seed))


def test_a_saved_prior_loads_and_draws_the_same_pictures_from_the_same_seed(prior_folder: Path) -> None:
    images = []
    for _ in range(2):
        prior = Prior.load(prior_folder, "geometry", lambda_id=0.5)
        conditions = prior.conditions(embedding(), "a broad grin", VIEWS)
        images.append(prior.sample(conditions, steps=2, generator=torch.Generator().manual_seed(3)))
    assert prior.image_size == 64
    assert prior.adapter.lambda_id == 0.5
    assert prior.adapter.lambda_exp == 1.0
    assert images[0].shape == (2, 3, 64, 64)
    assert images[0].min() >= 0
    assert images[0].max() <= 1
    assert torch.equal(*images)
    assert not any(p.requires_grad for p in prior.denoiser.parameters())


def test_domains_differ(prior_folder: Path) -> None:
    outputs = []
    for domain in ("geometry", "albedo"):
        prior = Prior.load(prior_folder, domain)
        outputs.append(prior.predict(*rows(prior), prior.conditions(embedding(), None, VIEWS))[0])
    assert not torch.allclose(*outputs, atol=1e-3)


def test_adapter_files_alone_find_their_base(prior_folder: Path, tmp_path: Path) -> None:
    for suffix in (".json", ".safetensors"):
        shutil.copy(prior_folder / f"albedo{suffix}", tmp_path)
    config = json.loads((tmp_path / "albedo.json").read_text())
    (tmp_path / "albedo.json").write_text(json.dumps({**config, "base": str(prior_folder)}))
    whole, apart = Prior.load(prior_folder, "albedo"), Prior.load(tmp_path, "albedo")
    noisy, t = rows(whole)
    results = [p.predict(noisy, t, p.conditions(embedding(), None, VIEWS))[1] for p in (whole, apart)]
    assert torch.equal(*results)


def test_a_prior_that_is_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no prior at '/no/such/folder': give 'starter', a folder"):
        Prior.load("/no/such/folder", "geometry")
    with pytest.raises(InputError, match="unknown prior domain 'depth'"):
        Prior.load("starter", "depth")
    monkeypatch.setattr(locate_module, "STARTER_FOLDER", tmp_path / "gone")
    with pytest.raises(InputError, match=r"the packaged prior is missing at .*gone: reinstall the package"):
        Prior.load("starter", "geometry")


def test_another_prediction_type_is_refused(prior_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(prior_folder, tmp_path / "prior")
    path = tmp_path / "prior" / "geometry.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction": "epsilon"}))
    with pytest.raises(
        InputError, match="trained for epsilon and the base predicts v_prediction: use the base"
    ):
        Prior.load(tmp_path / "prior", "geometry")


def test_conditions_take_one_or_one_an_image(prior: Prior) -> None:
    conditions = prior.conditions(embedding().numpy(), "eyes closed", VIEWS, "an old man")
    assert len(conditions) == 2
    assert conditions.text.shape == conditions.expression.shape == (2, 24, 32)
    assert torch.equal(conditions.identity[0], conditions.identity[1])
    assert torch.equal(conditions.expression[0], conditions.expression[1])
    assert not torch.equal(conditions.text[0], conditions.text[1])
    flipped = conditions.select([1, 0])
    assert torch.equal(flipped.text[0], conditions.text[1])
    nobody = prior.conditions(None, None, "front view")
    assert len(nobody) == 1
    assert torch.equal(nobody.identity, torch.zeros(1, 8))
    assert torch.equal(nobody.expression, nobody.no_expression)


def test_without_expression_attention_the_text_tells_the_expression(prior: Prior) -> None:
    def told(descriptor: str | None) -> torch.Tensor:
        return prior.conditions(None, descriptor, "front view").text

    assert torch.equal(told("a broad grin"), told(None))
    prior.config.expressions = ()
    assert not torch.equal(told("a broad grin"), told(None))


def test_each_text_is_encoded_once(prior: Prior) -> None:
    calls = []
    prior.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    for _ in range(3):
        prior.conditions(embedding(), "eyes closed", VIEWS)
    assert len(calls) == 4  # two prompts, one descriptor, the empty text


def test_a_batch_is_its_images_one_by_one(prior: Prior) -> None:
    noisy, t = rows(prior)
    conditions = prior.conditions(
        torch.stack([embedding(0), embedding(1)]), ["eyes closed", "a broad grin"], VIEWS
    )
    both = prior.denoise(noisy, t, conditions, steps=3, guidance_scale=3.0)
    single = [
        prior.denoise(noisy[i : i + 1], t[i : i + 1], conditions.select([i]), steps=3, guidance_scale=3.0)
        for i in range(2)
    ]
    torch.testing.assert_close(both, torch.cat(single), atol=1e-4, rtol=1e-4)
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(
        prior.encode(images), torch.cat([prior.encode(images[:1]), prior.encode(images[1:])])
    )


def test_taken_in_turns_a_batch_is_the_same(prior: Prior) -> None:
    g = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 64, 64, generator=g).requires_grad_()
    weights, latents = torch.randn(3, 4, 8, 8, generator=g), prior.noise(3, g)
    conditions = prior.conditions(embedding(), "a broad grin", ["front view", "back view", "left side view"])

    def everything() -> tuple[torch.Tensor, ...]:
        encoded = prior.encode(images)
        (gradient,) = torch.autograd.grad((encoded * weights).sum(), images)
        guided = prior.predict(latents, torch.tensor([10, 500, 900]), conditions, guidance_scale=3.0)
        return encoded, gradient, *guided, prior.decode(latents)

    whole = everything()
    prior.at_once = AtOnce(encode=2, denoise=1, decode=2)
    for part, expected in zip(everything(), whole, strict=True):
        torch.testing.assert_close(part, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.gpu
def test_what_fits_is_measured_and_nothing_stays(prior_folder: Path) -> None:
    release()
    before = torch.cuda.memory_allocated()
    prior = Prior.load(prior_folder, "geometry", "cuda")
    assert min(prior.at_once.encode, prior.at_once.denoise, prior.at_once.decode) > 1
    del prior
    release()
    assert torch.cuda.memory_allocated() == before


def test_guidance_is_unconditional_plus_scale_times_the_difference(prior: Prior) -> None:
    noisy, t = rows(prior)
    conditions = prior.conditions(embedding(), "eyes closed", VIEWS, "an old man")
    eps_c, _ = prior.predict(noisy, t, conditions)
    eps_un, _ = prior.predict(noisy, t, conditions.unconditional())
    assert not torch.allclose(eps_c, eps_un, atol=1e-3)
    for scale in (0.0, 1.0, 7.5):
        eps, x0 = prior.predict(noisy, t, conditions, scale)
        torch.testing.assert_close(eps, eps_un + scale * (eps_c - eps_un), atol=1e-4, rtol=1e-4)
        signal, spread = prior.schedule.roots(t)
        torch.testing.assert_close(signal * x0 + spread * eps, noisy, atol=1e-4, rtol=1e-4)


def test_a_negative_prompt_takes_the_place_of_the_empty_one(prior: Prior) -> None:
    conditions = prior.conditions(None, None, "front view", negative_text="blurred")
    assert torch.equal(conditions.unconditional().text, prior.encode_text(["blurred"]))
    assert not torch.equal(conditions.no_text, prior.encode_text([""]))


def test_rescaled_guidance_has_the_conditional_spread() -> None:
    un, c = torch.randn(2, 3, 4, 8, 8)
    out = guide(un, c, 10.0, rescale=1.0)
    torch.testing.assert_close(out.std(dim=(1, 2, 3)), c.std(dim=(1, 2, 3)))
    half = guide(un, c, 10.0, rescale=0.5)
    torch.testing.assert_close(half, (out + guide(un, c, 10.0)) / 2)


def test_encode_is_the_posterior_mode_in_scaled_units(prior: Prior) -> None:
    prior.vae.register_to_config(scaling_factor=0.25)
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    latents = prior.encode(images)
    torch.testing.assert_close(latents, 0.25 * prior.vae.encode(images * 2 - 1).latent_dist.mean)
    latents.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    decoded = prior.vae.decode(latents.detach() / 0.25).sample / 2 + 0.5
    torch.testing.assert_close(prior.decode(latents.detach()), decoded.detach().clamp(0, 1))


def test_wrong_inputs_are_named(prior: Prior) -> None:
    with pytest.raises(
        InputError, match=r"takes images of shape \(B, 3, 64, 64\), got \(1, 3, 32, 32\): resize"
    ):
        prior.encode(torch.zeros(1, 3, 32, 32))
    with pytest.raises(
        InputError, match=r"identity has 512 numbers and this prior was trained on 8 \(dlib\)"
    ):
        prior.conditions(np.zeros(512, np.float32), None, "front view")
    with pytest.raises(
        InputError, match=r"different numbers of images \(\[2, 3\]\): give each condition once"
    ):
        prior.conditions(None, ["eyes closed"] * 3, VIEWS)
    noisy, t = rows(prior)
    with pytest.raises(
        InputError, match="2 latents, 2 timesteps and 1 conditions were given: give one of each"
    ):
        prior.predict(noisy, t, prior.conditions(None, None, "front view"))
    with pytest.raises(InputError, match="needs at least 1 step, got 0"):
        prior.denoise(noisy, t, prior.conditions(None, None, VIEWS), steps=0)
