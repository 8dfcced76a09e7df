"""What pulls renders towards the prior: the guide of the sculpting loop.

A guide looks at the current renders once a round and answers with a loss for the inner fitting
steps. Two forms of one idea (see `priors.guidance`): "refined" denoises the renders in several
steps and asks for those images; "plain" is classical score distillation through the VAE's encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..expressions import Expression
from ..priors.guidance import Ramp, asked_change, asked_latent_change, sds_loss
from ..priors.prior import Prior
from ..priors.quick_encoder import QuickEncoder
from ..render.cameras import Cameras, view_text

FORMS = ("refined", "plain")

# The length of an encoded normal is at least (sqrt(3) - 1) / 2 = 0.37 and about 1 where a surface
# faces the camera; the background's is 0.
COVERED = 0.6

ImageLoss = Callable[[Tensor, Tensor], Tensor]
"""(B, 3, h, w) normals and (B, 1, h, w) masks -> a scalar."""

Render = Callable[[], Tensor]
"""The present surface as (B, 3, S, S) normals, without gradient; only a guide that looks pays for it."""


class Guide(Protocol):
    """What tells the geometry loop how its renders should look."""

    @property
    def image_size(self) -> int:
        """Pixels a side of the renders it wants to see."""
        ...

    @property
    def fit_size(self) -> int:
        """Pixels a side of the renders its losses take."""
        ...

    def look(
        self, render: Render, expression: Expression, cameras: Cameras, step: int, generator: torch.Generator
    ) -> ImageLoss:
        """Judge the normals that `render` gives from `cameras`; `step` counts the rounds."""
        ...


@dataclass(frozen=True, eq=False)
class PriorGuide:
    """A `Prior` as guide.

    Attributes:
        prior: The geometry prior.
        embedding: (D,) identity, or None.
        text: The caption, or None.
        form: "refined" or "plain".
        noise_level: Share of the forward process by round.
        denoising_steps: DDIM steps (refined).
        guidance: s of `guidance.asked_change`; in the plain form of out_un + s (out_c - out_un).
        generic: How far to follow the prior's view of heads at large (refined).
        fit_size: Pixels of the inner steps' renders, at most the prior's; plain needs the prior's own size.
        mask_weight: Of the silhouettes' squared error, beside that of the normals.
        quick, quick_rounds: What reads renders in the autoencoder's place in so many first rounds; there,
            the refined form compares latents and decodes nothing.

    Raises:
        InputError: an unknown form.
    """

    prior: Prior
    embedding: NDArray[np.float32] | Tensor | None
    text: str | None
    form: str
    noise_level: Ramp
    denoising_steps: int
    guidance: float
    generic: float
    fit_size: int
    mask_weight: float
    quick: QuickEncoder | None = None
    quick_rounds: int = 0

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"unknown form of distillation {self.form!r}: choose {' or '.join(FORMS)}")
        largest = self.prior.image_size
        object.__setattr__(self, "fit_size", largest if self.form == "plain" else min(self.fit_size, largest))

    @property
    def image_size(self) -> int:
        return self.prior.image_size

    def look(
        self, render: Render, expression: Expression, cameras: Cameras, step: int, generator: torch.Generator
    ) -> ImageLoss:
        prior, count = self.prior, len(cameras)
        conditions = prior.conditions(self.embedding, expression.descriptor, view_text(cameras), self.text)
        t = self.noise_level.timesteps(step, count, prior.steps)
        noise = prior.noise(count, generator)
        quick = self.quick if step < self.quick_rounds else None
        if self.form == "plain":

            def distil(rendered: Tensor, _: Tensor) -> Tensor:
                return sds_loss(
                    prior, rendered, conditions, t,
                    guidance_scale=self.guidance, noise=noise, encode=quick,
                ).mean()  # fmt: skip

            return distil
        images = render()
        nobody = prior.conditions(None, None, view_text(cameras), None)
        how: dict[str, Any] = {
            "steps": self.denoising_steps, "guidance_scale": self.guidance, "generic": self.generic,
            "noise": noise,
        }  # fmt: skip
        if quick is not None:
            asked = asked_latent_change(prior, quick(images), conditions, nobody, t, **how)
            return fit_latents(quick, asked)
        change = asked_change(prior, images, conditions, nobody, t, **how)
        return fit_to(
            images, (images + change.to(images.device)).clamp(0, 1), self.fit_size, self.mask_weight
        )


def fit_to(images: Tensor, targets: Tensor, size: int, mask_weight: float) -> ImageLoss:
    """Squared error against first renders of `size` pixels changed as `images` are to become `targets`.

    Both are (B, 3, S, S) normals. What is asked for is the difference: a small render is not quite a
    large one shrunk, and where nothing is to change, the loss of the first renders is zero.
    """
    asked = shrink(targets - images, size)
    covering = shrink(coverage(targets) - coverage(images), size)
    first: list[Tensor] = []

    def loss(rendered: Tensor, masks: Tensor) -> Tensor:
        if not first:
            first.extend((rendered.detach() + asked, (masks.detach() + covering).clamp(0, 1)))
        return functional.mse_loss(rendered, first[0]) + mask_weight * functional.mse_loss(masks, first[1])

    return loss


def fit_latents(quick: QuickEncoder, asked: Tensor) -> ImageLoss:
    """Squared error against the first renders' latents changed as asked, (B, 4, h, w), in colours' terms."""
    first: list[Tensor] = []

    def loss(rendered: Tensor, _: Tensor) -> Tensor:
        latents = quick(rendered)
        if not first:
            first.append(latents.detach() + asked)
        return quick.scale * functional.mse_loss(latents, first[0])

    return loss


def coverage(images: Tensor) -> Tensor:
    """(B, 1, S, S) in [0, 1]: where (B, 3, S, S) encoded normals show a surface."""
    return (images.norm(dim=1, keepdim=True) / COVERED).clamp(max=1)


def shrink(images: Tensor, size: int) -> Tensor:
    """Area average to `size` pixels a side; never enlarges."""
    return images if images.shape[-1] <= size else functional.interpolate(images, size=size, mode="area")
