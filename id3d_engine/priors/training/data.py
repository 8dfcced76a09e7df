"""What a training step draws: rows of latents, with conditions that are dropped now and then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...expressions import EXPRESSIONS, NEUTRAL
from ..prompts import DOMAINS, UNCONDITIONAL, expression_text, prompt
from ..tokenizer import token_ids
from .latents import Encoded, LatentRows

if TYPE_CHECKING:
    from .denoiser import DenoiserTraining


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a training step needs of N samples of S people. Texts are rows of one table of U.

    Attributes:
        latents: domain -> (N, 4, h, w) scaled latents, float16 or float32.
        identity: (S, P, D) embeddings.
        person: (N,) row of `identity`.
        texts: (U, L) token ids.
        prompts: domain -> (N,) texts without the expression.
        plain_prompts: domain -> (N,) texts with the expression.
        bare_prompts: domain -> (N,) texts of the view alone.
        expression: (N,) texts of the expressions' descriptors.
        empty: The empty text.
    """

    latents: Mapping[str, Tensor | LatentRows]
    identity: Tensor
    person: Tensor
    texts: Tensor
    prompts: dict[str, Tensor]
    plain_prompts: dict[str, Tensor]
    bare_prompts: dict[str, Tensor]
    expression: Tensor
    empty: int


def training_data(encoded: Encoded, identity: NDArray[np.float32], tokenizer: Any) -> TrainingData:
    """Texts told apart and tokenised.

    Args:
        encoded: The dataset.
        identity: (S, P, D) embeddings of its people.
        tokenizer: The base's.
    """
    known: dict[str, int] = {}

    def row(text: str) -> int:
        return known.setdefault(text, len(known))

    def prompts(domain: str, *, caption: bool, expression: bool) -> Tensor:
        texts = [
            prompt(
                s["caption"] if caption else None, s["view"], domain, s["descriptor"] if expression else None
            )
            for s in encoded.said
        ]
        return torch.tensor([row(text) for text in texts])

    made = {
        "prompts": {d: prompts(d, caption=True, expression=False) for d in DOMAINS},
        "plain_prompts": {d: prompts(d, caption=True, expression=True) for d in DOMAINS},
        "bare_prompts": {d: prompts(d, caption=False, expression=False) for d in DOMAINS},
    }
    descriptors = {e.name: expression_text(e.descriptor) for e in (NEUTRAL, *EXPRESSIONS)}
    expression = torch.tensor([row(descriptors[s["expression"]]) for s in encoded.said])
    empty = row(UNCONDITIONAL)
    return TrainingData(
        latents=encoded.latents,
        identity=torch.from_numpy(identity),
        person=encoded.person,
        texts=token_ids(tokenizer, list(known)),
        **made,
        expression=expression,
        empty=empty,
    )


@dataclass(frozen=True)
class Batch:
    """(B, ...) samples of `TrainingData` with conditions dropped.

    Attributes:
        rows: (B,) which samples; their latents are read when they are needed.
        text, expression: (B,) rows of the texts.
        identity: (B, D).
    """

    rows: Tensor
    text: Tensor
    identity: Tensor
    expression: Tensor


def draw(
    data: TrainingData,
    domain: str,
    count: int,
    config: DenoiserTraining,
    generator: torch.Generator,
    *,
    plain: bool = False,
) -> Batch:
    """A random batch; each condition is dropped for a share of the rows, and all for as many."""
    rows = torch.randint(len(data.person), (count,), generator=generator)
    photo = torch.randint(data.identity.shape[1], (count,), generator=generator)
    chance = torch.rand(5, count, generator=generator)
    no_text, no_identity, no_expression = (chance[[i, 3]].amin(0) < config.dropped for i in range(3))
    text = (data.plain_prompts if plain else data.prompts)[domain][rows]
    if not plain:
        text = torch.where(chance[4] < config.uncaptioned, data.bare_prompts[domain][rows], text)
    empty = torch.tensor(data.empty)
    return Batch(
        rows,
        torch.where(no_text, empty, text),
        data.identity[data.person[rows], photo] * ~no_identity[:, None],
        torch.where(no_expression, empty, data.expression[rows]),
    )
