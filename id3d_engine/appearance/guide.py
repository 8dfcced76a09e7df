"""What tells the paint where to go: a prior, as a function of renders.

A `Guide` sees the first render of a round's views and answers with the round's data term, a
function of later renders of the same views. Renders are the (P, 3) covered pixels of `Views`. Target
images are one kind of answer (the dear part once, the cheap part often); plain score distillation is
another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..expressions import Expression
from ..priors.conditions import Conditions
from ..priors.guidance import refined_latents, sds_loss
from ..priors.prior import Prior
from ..render.cameras import Cameras, view_text
from .pseudo_albedo import Views
from .settings import PaintConfig


@dataclass(frozen=True, eq=False)
class Round:
    """One round's views and what they show; `share` of the run, in [0, 1], lies behind."""

    number: int
    share: float
    views: Views
    cameras: Cameras
    expressions: Sequence[Expression]


# Later renders of some pixels (Q, 3), and which of the P they are (Q,) -> a number.
DataTerm = Callable[[Tensor, Tensor], Tensor]
Guide = Callable[[Tensor, Round], DataTerm]


def target_term(targets: Tensor, weight: Tensor) -> DataTerm:
    """Mean squared error to (P, 3) targets over pixels weighted by (P, 1)."""

    def term(pixels: Tensor, pick: Tensor) -> Tensor:
        share = weight[pick]
        return ((pixels - targets[pick]).square() * share).sum() / (3 * share.sum() + 1.0)

    return term


def prior_guide(
    prior: Prior,
    identity: NDArray[np.floating] | Tensor | None,
    text: str | None,
    config: PaintConfig,
    generator: Callable[[str, int], torch.Generator],
) -> Guide:
    """The albedo prior as a guide.

    With `config.method` "refined", targets are the render plus `asked_change`.

    Args:
        generator: `Job.generator`: stage and step -> a CPU generator, for the noise.
    """

    def guide(pixels: Tensor, here: Round) -> DataTerm:
        conditions = prior.conditions(
            identity, [e.descriptor for e in here.expressions], view_text(here.cameras), text
        )
        t = torch.full((len(here.expressions),), round(config.timesteps.at(here.share) * prior.steps))
        t = t.clamp(1, prior.steps - 1)
        noise = generator("paint.noise", here.number)
        if config.method == "sds":
            return lambda render, pick: (
                sds_loss(
                    prior, here.views.picture(render), conditions, t,
                    guidance_scale=config.guidance_scale, weighting="x0", generator=noise,
                ).mean() / (3 * prior.latent_size**2)
            )  # fmt: skip
        with torch.no_grad():
            picture = here.views.picture(pixels)
            nobody = prior.conditions(None, None, view_text(here.cameras), None)
            change = asked_change(prior, picture, conditions, nobody, t, config, noise)
            # The picture's antialiasing mixes surfaces at outlines; the paint's pixels are pure.
            targets = pixels + here.views.gather(change.to(pixels.device))
            return target_term(targets.clamp(0, 1), here.views.weight)

    return guide


def asked_change(
    prior: Prior,
    picture: Tensor,
    conditions: Conditions,
    nobody: Conditions,
    t: Tensor,
    config: PaintConfig,
    generator: torch.Generator,
) -> Tensor:
    """What the prior would change in pictures, split into what is general and what is personal.

    Denoising from one and the same noise, once knowing who it is (x_c) and once knowing only the view
    (x_0), gives guidance around "nobody" as a change of the picture x:

        generic (x_0 - x) + s (x_c - x_0).

    With generic = 1 this is classifier-free guidance towards x_0 + s (x_c - x_0). The first term is
    the prior's view of heads at large, all of its grain and colour casts included; the second has
    them cancelled, since both passes share them (cf. Delta Denoising Score, arXiv 2304.07090, and
    Classifier Score Distillation, arXiv 2310.19415). A start authored as a head needs little of the
    first. All three are decoded, so that the autoencoder's own blur cancels too.

    Args:
        picture: (B, 3, S, S) in [0, 1].
        nobody: Conditions with the views alone.
        t: (B,) timesteps.

    Returns:
        (B, 3, S, S) change, on the prior's device.
    """
    latents = prior.encode(picture)
    noise = prior.noise(len(latents), generator)

    def denoised(given: Conditions) -> Tensor:
        x0 = refined_latents(
            prior, latents, given, t, steps=config.denoise_steps, guidance_scale=1.0, noise=noise
        )
        return prior.decode(x0)

    general = denoised(nobody)
    change = config.guidance_scale * (denoised(conditions) - general)
    if config.generic:
        change = change + config.generic * (general - prior.decode(latents))
    return change
