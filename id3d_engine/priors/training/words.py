"""Teaching a base's own text encoder to tell texts apart, before any picture is shown.

CLIP's text encoder has learned what differs between captions. A small one that is trained along with a
denoiser from random weights learns the opposite: what its words say of a picture comes late and as noise, all
of its tokens grow alike, and then nobody can learn what they say. So its last token (and the padding after
it, which a causal encoder fills with all that was said) is taught to be a random vector of the text's words,
and stays as it is from then on, as Stable Diffusion's does. One that was taught before has little to change.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ...job import Job, Stepper
from ..base import TextEncoder
from ..tokenizer import token_ids
from .curves import Curve
from .parallel import average_gradients
from .vae import warm_cosine

_WORD = re.compile(r"[a-z0-9]+")
_EARLIER = 0.1  # weight of tokens before the last, which are free to say what their own word is


@dataclass(frozen=True)
class WordsTraining:
    """How the text encoder is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Texts a step.
        learning_rate: Peak of a warm-up and cosine schedule.
    """

    steps: int = 800
    batch: int = 48
    learning_rate: float = 5e-4


def teach_words(
    encoder: TextEncoder,
    tokenizer: Any,
    kinds: Sequence[Sequence[str]],
    config: WordsTraining,
    job: Job,
    accelerator: Accelerator,
    curve: Curve,
) -> None:
    """Train `encoder` in place, with checkpoints in the job's folder; each kind of text is drawn as often."""
    encoder.to(accelerator.device).train()
    parameters = tuple(encoder.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0)
    for step in job.steps("words", config.steps, Stepper(encoder, optimizer), "teaching words"):
        generator = job.generator("words", step)
        chances = torch.rand(config.batch, generator=generator).tolist()
        drawn = [kinds[i % len(kinds)] for i in range(config.batch)]
        batch = [kind[int(chance * len(kind))] for kind, chance in zip(drawn, chances, strict=True)]
        ids = token_ids(tokenizer, batch)
        tokens = encoder(ids.to(accelerator.device))[0]
        wanted = torch.stack([said(text, tokens.shape[-1]) for text in batch]).to(tokens)
        ended = (ids == tokenizer.eos_token_id).cumsum(1) > 0
        weight = torch.where(ended, 1.0, _EARLIER).to(tokens)
        error = (tokens - wanted[:, None]).square().mean(dim=-1)
        loss = (weight * error).sum() / weight.sum()
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warm_cosine(step, config.steps, 50)
        optimizer.zero_grad()
        loss.backward()
        average_gradients(parameters, accelerator)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        curve.add(step, loss=loss)
    encoder.eval()


def said(text: str, width: int) -> Tensor:
    """(width,) the sum of a random vector a word, of length sqrt(width), as after a layer norm."""
    words = _WORD.findall(text.lower()) or [""]
    total = torch.stack([_vector(word, width) for word in words]).sum(dim=0)
    return total * (width**0.5 / total.norm().clamp_min(1e-6))


@cache
def _vector(word: str, width: int) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:6], "big")
    return torch.randn(width, generator=torch.Generator().manual_seed(seed))
