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
from ..priors.guidance import asked_change, sds_loss
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
            change = asked_change(
                prior, picture, conditions, nobody, t,
                steps=config.denoise_steps, guidance_scale=config.guidance_scale,
                generic=config.generic, generator=noise,
            )  # fmt: skip
            # The picture's antialiasing mixes surfaces at outlines; the paint's pixels are pure.
            targets = pixels + here.views.gather(change.to(pixels.device))
            return target_term(targets.clamp(0, 1), here.views.weight)

    return guide
