"""Score distillation against a prior whose answer is known: Gaussian data, z_0 ~ N(mu, s^2 I).

There E[z_0 | z_t] = mu + sqrt(abar) s^2 / (abar s^2 + 1 - abar) (z_t - sqrt(abar) mu).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from id3d_engine.errors import InputError
from id3d_engine.priors.adapters import Heard
from id3d_engine.priors.guidance import (
    Ramp,
    asked_change,
    asked_latent_change,
    refined_latents,
    sds_gradient,
    sds_loss,
    weight,
)
from id3d_engine.priors.prior import Prior

MU, S = 0.8, 0.3
T = torch.tensor([200, 700])


class GaussianDenoiser(nn.Module):
    """The exact v for Gaussian data, in the denoiser's place."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.unet, self.schedule = prior.denoiser.unet, prior.schedule

    def heard(self, text: Tensor, identity: Tensor, expression: Tensor) -> Heard:
        return Heard(text, {})

    def forward(self, z: Tensor, t: Tensor, heard: Heard) -> Tensor:
        signal, spread = self.schedule.roots(t)
        x0 = MU + signal * S**2 / (signal**2 * S**2 + spread**2) * (z - signal * MU)
        return self.schedule.target(x0, (z - signal * x0) / spread, t)


@pytest.fixture
def prior(make_prior: Callable[..., Prior]) -> Prior:
    return make_prior()


@pytest.fixture
def gaussian(prior: Prior) -> Prior:
    prior.denoiser = GaussianDenoiser(prior)
    return prior


def conditions(prior: Prior, count: int = 2):
    return prior.conditions(None, None, ["front view"] * count)


@pytest.mark.parametrize("kind", ["one_minus_abar", "sqrt_abar_one_minus_abar", "x0"])
def test_sds_gradient_is_the_closed_form(gaussian: Prior, kind: str) -> None:
    g = torch.Generator().manual_seed(0)
    z, noise = gaussian.noise(2, g), gaussian.noise(2, g)
    abar = gaussian.schedule.abar.double()[T].reshape(-1, 1, 1, 1)
    z_t = abar.sqrt() * z.double() + (1 - abar).sqrt() * noise.double()
    eps_hat = (1 - abar).sqrt() * (z_t - abar.sqrt() * MU) / (abar * S**2 + 1 - abar)
    w = {
        "one_minus_abar": 1 - abar,
        "sqrt_abar_one_minus_abar": abar.sqrt() * (1 - abar),
        "x0": ((1 - abar) / abar).sqrt(),
    }[kind]
    got = sds_gradient(gaussian, z, conditions(gaussian), T, guidance_scale=1.0, weighting=kind, noise=noise)
    torch.testing.assert_close(got.double(), w * (eps_hat - noise.double()), atol=2e-5, rtol=1e-4)


def test_sds_descends_to_the_data_mean(gaussian: Prior) -> None:
    z = torch.zeros(2, 4, 8, 8)
    g = torch.Generator().manual_seed(0)
    for _ in range(150):
        t = torch.randint(200, 700, (2,), generator=g)
        z = z - 0.05 * sds_gradient(
            gaussian, z, conditions(gaussian), t, guidance_scale=1.0, weighting="x0", generator=g
        )
    assert float(z.mean()) == pytest.approx(MU, abs=0.02)


def test_many_steps_follow_the_probability_flow_to_its_exact_end(gaussian: Prior) -> None:
    # For Gaussian data the flow keeps (z_t - sqrt(abar) mu) / std(z_t), so its end is known.
    g = torch.Generator().manual_seed(0)
    z, noise = gaussian.noise(2, g), gaussian.noise(2, g)
    signal, spread = gaussian.schedule.roots(T)
    whitened = (signal * z + spread * noise - signal * MU) / (signal**2 * S**2 + spread**2).sqrt()
    errors = []
    for steps in (10, 100):
        got = refined_latents(
            gaussian, z, conditions(gaussian), T, steps=steps, guidance_scale=1.0, noise=noise
        )
        errors.append(float((got - MU - S * whitened).abs().mean()))
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 4  # first order in the step


def test_one_step_targets_are_plain_sds(prior: Prior) -> None:
    g = torch.Generator().manual_seed(0)
    z, noise = prior.noise(2, g), prior.noise(2, g)
    c = prior.conditions(torch.ones(8), "eyes closed", ["front view", "back view"])
    x0 = refined_latents(prior, z, c, T, steps=1, guidance_scale=2.0, noise=noise)
    eps_hat, _ = prior.predict(prior.add_noise(z, noise, T), T, c, 2.0)
    got = sds_gradient(prior, z, c, T, guidance_scale=2.0, weighting="x0", noise=noise)
    torch.testing.assert_close(got, z - x0, atol=1e-4, rtol=1e-3)
    expected = weight(prior, T, "x0") * (eps_hat - noise)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-3)


def test_loss_gradient_passes_the_encoder_as_finite_differences_say(prior: Prior) -> None:
    g = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 64, 64, generator=g)
    direction = torch.randn(2, 3, 64, 64, generator=g)
    noise, c = prior.noise(2, g), conditions(prior)
    settings = {"guidance_scale": 2.0, "noise": noise}
    leaf = images.clone().requires_grad_()
    loss = sds_loss(prior, leaf, c, T, **settings)
    loss.sum().backward()
    with torch.no_grad():
        latent_gradient = sds_gradient(prior, prior.encode(images), c, T, **settings)
        h = 2e-3
        ahead, behind = prior.encode(images + h * direction), prior.encode(images - h * direction)
        expected = (latent_gradient * (ahead - behind) / (2 * h)).sum(dim=(1, 2, 3))
    got = (leaf.grad * direction).sum(dim=(1, 2, 3))
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=2e-2)
    torch.testing.assert_close(loss, 0.5 * latent_gradient.square().sum(dim=(1, 2, 3)))


def test_a_batch_is_its_images_one_by_one(prior: Prior) -> None:
    g = torch.Generator().manual_seed(0)
    images, noise = torch.rand(2, 3, 64, 64, generator=g), prior.noise(2, g)
    c = prior.conditions(torch.ones(8), ["eyes closed", "a broad grin"], ["front view", "back view"])

    def run(rows: slice) -> tuple[Tensor, Tensor]:
        picked = c.select(list(range(2))[rows])
        leaf = images[rows].clone().requires_grad_()
        sds_loss(prior, leaf, picked, T[rows], noise=noise[rows]).sum().backward()
        change = asked_change(
            prior, images[rows], picked, picked.unconditional(), T[rows],
            steps=2, guidance_scale=1.5, generic=0.5, noise=noise[rows],
        )  # fmt: skip
        return leaf.grad, change

    for both, *single in zip(run(slice(0, 2)), run(slice(0, 1)), run(slice(1, 2)), strict=True):
        torch.testing.assert_close(both, torch.cat(single), atol=1e-4, rtol=1e-3)


def change(prior: Prior, images: Tensor, who, *, generic: float, scale=1.0, seed=1) -> Tensor:
    nobody = prior.conditions(None, None, ["front view"] * 2, None)
    generator = torch.Generator().manual_seed(seed)
    return asked_change(
        prior, images, who, nobody, T, steps=2, guidance_scale=scale, generic=generic, generator=generator
    )


def test_change_is_without_gradient_and_repeats_with_the_seed(prior: Prior) -> None:
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    first, second, other = (change(prior, images, conditions(prior), generic=0.5, seed=s) for s in (1, 1, 2))
    assert first.shape == images.shape
    assert not first.requires_grad
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_change_left_in_latents_is_the_one_that_is_decoded(prior: Prior) -> None:
    g = torch.Generator().manual_seed(0)
    images, noise = torch.rand(2, 3, 64, 64, generator=g), prior.noise(2, g)
    someone, nobody = (prior.conditions(face, None, ["front view"] * 2) for face in (torch.ones(8), None))
    latents = prior.encode(images)
    for s, generic in ((1.0, 1.0), (0.0, 1.0)):
        how = {"steps": 2, "guidance_scale": s, "generic": generic, "noise": noise}
        left = asked_latent_change(prior, latents, someone, nobody, T, **how)
        decoded = asked_change(prior, images, someone, nobody, T, **how)
        torch.testing.assert_close(prior.decode(latents + left) - prior.decode(latents), decoded)


def test_guidance_around_nobody_is_classifier_free_guidance(prior: Prior) -> None:
    """With generic = 1 the change leads to x_0 + s (x_c - x_0); with 0 only the person is left."""
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    someone = prior.conditions(torch.ones(8), "a broad grin", ["front view"] * 2, "an old man")
    nobody = prior.conditions(None, None, ["front view"] * 2, None)
    assert change(prior, images, nobody, generic=0.0).abs().max() == 0
    noise = prior.noise(2, torch.Generator().manual_seed(1))
    latents = prior.encode(images)
    plain = refined_latents(prior, latents, someone, T, steps=2, guidance_scale=1.0, noise=noise)
    expected = prior.decode(plain) - prior.decode(latents)
    torch.testing.assert_close(change(prior, images, someone, generic=1.0), expected, atol=1e-5, rtol=1e-4)
    person = change(prior, images, someone, generic=0.0)
    assert person.abs().max() > 0
    tripled = change(prior, images, someone, generic=0.0, scale=3.0)
    torch.testing.assert_close(tripled, 3 * person, atol=1e-5, rtol=1e-4)


def test_unknown_weight_is_named(prior: Prior) -> None:
    with pytest.raises(InputError, match="unknown weight 'cosine': choose one of one_minus_abar, sqrt_abar"):
        weight(prior, T, "cosine")


def test_ramp_is_flat_straight_flat() -> None:
    ramp = Ramp(start=0.8, end=0.2, first=10, last=40)
    assert [ramp.at(s) for s in (0, 10)] == [0.8, 0.8]
    assert ramp.at(25) == pytest.approx(0.5)
    assert [ramp.at(s) for s in (40, 99)] == [0.2, 0.2]
    assert Ramp(0.5, 0.5).at(0) == 0.5
    assert Ramp(0.9, 0.4).at(0) == 0.4  # no line: the end holds


def test_timesteps_stay_inside_the_process() -> None:
    assert Ramp(1.0, 0.0, last=10).timesteps(0, 3, 1000).tolist() == [999] * 3
    assert Ramp(1.0, 0.0, last=10).timesteps(10, 1, 1000).tolist() == [1]
