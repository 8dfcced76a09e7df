"""Score distillation: what a prior says about renders, as a gradient or as target images.

Plain SDS (DreamFusion, arXiv 2209.14988) moves latents z by

    w(t) (eps_hat(z_t) - eps) = w(t) sqrt(abar / (1 - abar)) (z - x0_hat),      (1)

where x0_hat = (z_t - sqrt(1 - abar) eps_hat) / sqrt(abar): the same vector seen as noise or as a
pull to the denoised latents. Both forms below use the right-hand side:

- `sds_loss` / `sds_gradient`: (1), with x0_hat from `steps` = 1 denoising step. This is exact SDS.
- `asked_change`: x0_hat from several DDIM steps, decoded to images; the caller fits his renders
  to themselves plus this change by squared error for some inner steps. With one step, one inner step
  and the error taken in latents, weighted by the factor in (1), it is plain SDS. What differs
  otherwise: several steps give x0_hat detail that one step averages away, and several fits to one
  target average the noise.

Timesteps come from a `Ramp`: named, linear, in shares of the forward process.

    schedule = Ramp(start=0.85, end=0.4, last=140)
    t = schedule.timesteps(step, count=len(views), total=prior.steps)
    targets = renders + asked_change(
        prior, renders, conditions, nobody, t, steps=6, guidance_scale=1.5, generic=1.0, generator=g
    )
    loss = ((renders - targets) ** 2).mean()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from .conditions import Conditions
from .prior import Prior

WEIGHTS = ("one_minus_abar", "sqrt_abar_one_minus_abar", "x0")


@dataclass(frozen=True)
class Ramp:
    """A number that goes in a straight line from `start` to `end` between two steps and is flat outside.

    Attributes:
        start, end: Shares of the forward process, in [0, 1], when used for timesteps.
        first, last: Steps at which the line begins and ends.
    """

    start: float
    end: float
    first: int = 0
    last: int = 0

    def at(self, step: int) -> float:
        """The value at `step`."""
        if step >= self.last:
            return self.end if step > self.first or self.last <= self.first else self.start
        share = max(step - self.first, 0) / (self.last - self.first)
        return self.start + (self.end - self.start) * share

    def timesteps(self, step: int, count: int, total: int) -> Tensor:
        """(count,) int64, all at this step's value; within [1, total - 1]."""
        t = min(max(round(self.at(step) * total), 1), total - 1)
        return torch.full((count,), t)


def weight(prior: Prior, t: Tensor, kind: str = "one_minus_abar") -> Tensor:
    """w(t) of (1), (B, 1, 1, 1).

    Args:
        prior: Gives abar.
        t: (B,) timesteps.
        kind: "one_minus_abar" (DreamFusion), "sqrt_abar_one_minus_abar" (sqrt(abar) (1 - abar),
            Fantasia3D's early weight), or "x0", which makes (1) exactly z - x0_hat.

    Raises:
        InputError: another kind.
    """
    signal, spread = prior.schedule.roots(prior.moved(t))
    if kind == "one_minus_abar":
        return spread**2
    if kind == "sqrt_abar_one_minus_abar":
        return signal * spread**2
    if kind == "x0":
        return spread / signal.clamp_min(1e-4)
    raise InputError(f"unknown weight {kind!r}: choose one of {', '.join(WEIGHTS)}")


@torch.no_grad()
def refined_latents(
    prior: Prior,
    latents: Tensor,
    conditions: Conditions,
    t: Tensor,
    *,
    steps: int,
    guidance_scale: float,
    rescale: float = 0.0,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x0_hat of (B, 4, h, w) latents: noised to t, denoised; see `asked_change` and `Prior.predict`."""
    noise = prior.noise(len(latents), generator) if noise is None else noise
    noisy = prior.add_noise(latents, noise, t)
    return prior.denoise(noisy, t, conditions, steps=steps, guidance_scale=guidance_scale, rescale=rescale)


@torch.no_grad()
def asked_change(
    prior: Prior,
    images: Tensor,
    conditions: Conditions,
    nobody: Conditions,
    t: Tensor,
    *,
    steps: int,
    guidance_scale: float,
    generic: float,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """What the prior would change in renders: the variance-reduced form's target images, less the renders.

    Denoising from one and the same noise, once knowing who it is (x_c) and once knowing only the view
    (x_0), gives guidance around "nobody" as a change of the render x:

        generic (x_0 - x) + s (x_c - x_0).                                  (2)

    With generic = 1 this is classifier-free guidance towards x_0 + s (x_c - x_0). The first term is
    the prior's view of heads at large, all of its blur, grain and colour casts included; the second
    has them cancelled, since both passes share them (cf. Delta Denoising Score, arXiv 2304.07090, and
    Classifier Score Distillation, arXiv 2310.19415). A start that is a head already needs little of
    the first. All three are decoded, so that the autoencoder's own blur cancels too: a prior that wants
    no change asks for none.

    Args:
        prior: Frozen.
        images: (B, 3, S, S) current renders in [0, 1], S = prior.image_size.
        conditions: B rows: identity, expression, text and the renders' views.
        nobody: B rows with the views alone.
        t: (B,) timesteps to noise to.
        steps: DDIM steps down from t.
        guidance_scale: s of (2): how strongly to follow what is personal.
        generic: How far to follow the prior's view of heads at large; 1 for a strong prior.
        noise: Latent-shaped, to repeat a draw exactly; drawn from `generator` when None.
        generator: A CPU generator.

    Returns:
        (B, 3, S, S), on the prior's device, without gradient.
    """
    latents = prior.encode(images)
    general, personal = _denoised(prior, latents, conditions, nobody, t, steps, noise, generator)
    seen = prior.decode(general)
    change = guidance_scale * (prior.decode(personal) - seen)
    if generic:
        change = change + generic * (seen - prior.decode(latents))
    return change


@torch.no_grad()
def asked_latent_change(
    prior: Prior,
    latents: Tensor,
    conditions: Conditions,
    nobody: Conditions,
    t: Tensor,
    *,
    steps: int,
    guidance_scale: float,
    generic: float,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(2) of `asked_change` left in latents, (B, 4, h, w): nothing is decoded, which halves a look's cost.

    Args as there, with (B, 4, h, w) latents for images.
    """
    general, personal = _denoised(prior, latents, conditions, nobody, t, steps, noise, generator)
    return guidance_scale * (personal - general) + generic * (general - latents)


def _denoised(
    prior: Prior,
    latents: Tensor,
    conditions: Conditions,
    nobody: Conditions,
    t: Tensor,
    steps: int,
    noise: Tensor | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """x0_hat from one and the same noise: of a head seen so, and of this person's."""
    noise = prior.noise(len(latents), generator) if noise is None else noise
    twice, times, noises = (torch.cat([x, x]) for x in (latents, t, noise))
    both = Conditions.join([nobody, conditions])
    x0 = refined_latents(prior, twice, both, times, steps=steps, guidance_scale=1.0, noise=noises)
    general, personal = x0.chunk(2)
    return general, personal


@torch.no_grad()
def sds_gradient(
    prior: Prior,
    latents: Tensor,
    conditions: Conditions,
    t: Tensor,
    *,
    guidance_scale: float = 7.5,
    rescale: float = 0.0,
    steps: int = 1,
    weighting: str = "one_minus_abar",
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(1) at (B, 4, h, w) latents; `steps` above 1 gives the several-step form of the same pull.

    Args beyond `refined_latents`: `weighting`, see `weight`.
    """
    x0 = refined_latents(
        prior, latents, conditions, t, steps=steps, guidance_scale=guidance_scale,
        rescale=rescale, noise=noise, generator=generator,
    )  # fmt: skip
    signal, spread = prior.schedule.roots(prior.moved(t))
    return weight(prior, t, weighting) * signal / spread * (latents - x0)


def sds_loss(
    prior: Prior,
    images: Tensor,
    conditions: Conditions,
    t: Tensor,
    *,
    guidance_scale: float = 7.5,
    rescale: float = 0.0,
    steps: int = 1,
    weighting: str = "one_minus_abar",
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """(B,) values whose gradient in `images` is (1) pulled back through the VAE's encoder.

    Only the gradient means anything; the value is half its squared length. Sum or mean is the
    caller's. Arguments as `sds_gradient`, with (B, 3, S, S) images in [0, 1] for latents; `encode`
    reads them instead of the prior's own encoder (a `QuickEncoder`).

    Raises:
        InputError: sizes or batches differ.
    """
    latents = (encode or prior.encode)(images)
    gradient = sds_gradient(
        prior, latents.detach(), conditions, t, guidance_scale=guidance_scale, rescale=rescale,
        steps=steps, weighting=weighting, noise=noise, generator=generator,
    )  # fmt: skip
    target = (latents - gradient).detach()
    return 0.5 * ((latents - target) ** 2).sum(dim=(1, 2, 3))
