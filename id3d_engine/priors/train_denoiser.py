"""Training of the UNet base and of its two adapters on cached latents.

Three parts can be trained, each alone or together: the base (UNet and text encoder), and the
adapters of the two domains. The paper's split is the adapters alone on a frozen base; a base that
is trained from nothing learns fastest together with them, since the adapters' images are all it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from ..job import Job, Stepper
from .adapters import Adapter
from .base import TextEncoder, UNet
from .curves import Curve
from .noise import NoiseSchedule
from .prompts import DOMAINS
from .train_vae import warm_cosine


@dataclass(frozen=True)
class DenoiserTraining:
    """How the denoiser is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Images a step, shared by the domains.
        learning_rate: Peak of a warm-up and cosine schedule.
        dropped: Share of samples that lose one condition, for each of text, identity, expression;
            as large a share loses all three (classifier-free guidance).
        uncaptioned: Share of samples whose text keeps the view and loses the caption, as at use without
            a text.
        plain_every: Every so many steps the base is trained without adapters, with the expression in
            its text, so that it stays a text-to-image model of its own. 0 is never.
        ema: Half-life in steps of the averaged weights that are kept; ramped up from the start.
        train_base: Train UNet and text encoder too, not the adapters alone.
        save_every: Steps between two calls of `on_save` with the averaged weights in place.
    """

    steps: int = 6000
    batch: int = 24
    learning_rate: float = 5e-4
    dropped: float = 0.08
    uncaptioned: float = 0.4
    plain_every: int = 10
    ema: float = 300.0
    train_base: bool = True
    save_every: int = 1000


@dataclass(frozen=True)
class CachedData:
    """What a training step needs of N samples, all in memory.

    Attributes:
        latents: domain -> (N, 4, h, w) scaled latents, float16 or float32.
        identity: (N, P, D) embeddings; samples with fewer photos repeat theirs.
        prompts: domain -> (N, L) token ids, without the expression.
        plain_prompts: domain -> (N, L) token ids, with the expression.
        bare_prompts: domain -> (N, L) token ids of the view alone.
        expression: (N,) index into `descriptors`.
        descriptors: (E, L) token ids of the expressions' descriptors.
        empty: (1, L) token ids of the empty text.
    """

    latents: dict[str, Tensor]
    identity: Tensor
    prompts: dict[str, Tensor]
    plain_prompts: dict[str, Tensor]
    bare_prompts: dict[str, Tensor]
    expression: Tensor
    descriptors: Tensor
    empty: Tensor


class Denoiser(nn.Module):
    """Base, text encoder and both adapters as one module, as distributed training wants it."""

    def __init__(self, unet: UNet, text_encoder: TextEncoder, adapters: dict[str, Adapter]) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.adapters = unet, text_encoder, nn.ModuleDict(adapters)

    def forward(
        self,
        domain: str | None,
        latents: Tensor,
        t: Tensor,
        text: Tensor,
        identity: Tensor,
        expression: Tensor,
    ) -> Tensor:
        """The base's raw prediction; `domain` None is the base without an adapter.

        Args:
            latents: (B, 4, h, w). t: (B,). text, expression: (B, L) token ids. identity: (B, D).
        """
        text_tokens = self.text_encoder(text)[0]
        if domain is None:
            Adapter.remove(self.unet)
            return self.unet(latents, t, encoder_hidden_states=text_tokens, return_dict=False)[0]
        adapter: Any = self.adapters[domain]
        adapter.install(self.unet)
        tokens = {
            "identity_tokens": adapter.image_proj(identity),
            "expression_tokens": self.text_encoder(expression)[0],
        }
        return self.unet(
            latents, t, encoder_hidden_states=text_tokens, cross_attention_kwargs=tokens, return_dict=False
        )[0]


class DenoiserState:
    """Weights, optimiser and averaged weights between steps (`job.Checkpointable`).

    Args:
        trained: Holds every weight that training changes; a frozen base is no part of a checkpoint.
    """

    def __init__(self, trained: nn.Module, optimizer: torch.optim.Optimizer, ema: WeightAverage) -> None:
        self.stepper, self.ema = Stepper(trained, optimizer), ema

    def tensors(self) -> dict[str, Tensor]:
        """See `job.Checkpointable`."""
        average = {f"ema.{i}": value for i, value in enumerate(self.ema.values)}
        return {**self.stepper.tensors(), **average}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """See `job.Checkpointable`."""
        self.stepper.restore({k: v for k, v in tensors.items() if not k.startswith("ema.")})
        for i, value in enumerate(self.ema.values):
            value.copy_(tensors[f"ema.{i}"])


class WeightAverage:
    """Exponential moving average of parameters, with a horizon that grows from the first step.

    After step s the average moves by 1 - d towards the parameters, d = min(2^(-1 / half_life),
    (1 + s) / (10 + s)).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], half_life: float) -> None:
        self.parameters = tuple(parameters)
        self.limit = 0.5 ** (1 / half_life)
        self.values = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after step `step`."""
        decay = min(self.limit, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the averaged and the current weights."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            current = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(current)


def train_denoiser(
    model: Denoiser,
    schedule: NoiseSchedule,
    data: CachedData,
    config: DenoiserTraining,
    job: Job,
    accelerator: Accelerator,
    curve: Curve,
    on_save: Callable[[int], None],
) -> None:
    """Train in place; the averaged weights are in the model at each `on_save` and at the end.

    The loss is the mean squared error of the schedule's own target (epsilon, or v as in Salimans
    and Ho 2022, arXiv 2202.00512), ID-to-3D's `L_simple`.
    """
    for parameter in (*model.unet.parameters(), *model.text_encoder.parameters()):
        parameter.requires_grad_(config.train_base)
    parameters = tuple(p for p in model.parameters() if p.requires_grad)
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=1e-3, betas=(0.9, 0.99))
    ema = WeightAverage(parameters, config.ema)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    state = DenoiserState(model if config.train_base else model.adapters, optimizer, ema)
    count = max(config.batch // len(DOMAINS), 1)
    for step in job.steps("denoiser", config.steps, state, "training the denoiser"):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warm_cosine(step, config.steps, 200)
        generator = job.generator("denoiser", step * accelerator.num_processes + accelerator.process_index)
        plain = config.train_base and config.plain_every > 0 and step % config.plain_every == 0
        optimizer.zero_grad()
        losses = {}
        for domain in DOMAINS:
            batch = draw(data, domain, count, config, generator, plain=plain)
            noise = torch.randn(batch.latents.shape, generator=generator)
            t = torch.randint(schedule.steps, (len(noise),), generator=generator)
            noised = schedule.add_noise(batch.latents, noise, t)
            target = schedule.target(batch.latents, noise, t)
            inputs = [
                x.to(accelerator.device) for x in (noised, t, batch.text, batch.identity, batch.expression)
            ]
            with accelerator.autocast():
                predicted = prepared(None if plain else domain, *inputs)
            loss = functional.mse_loss(predicted.float(), target.to(accelerator.device))
            accelerator.backward(loss / len(DOMAINS))
            losses["plain" if plain else domain] = loss
        accelerator.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        ema.update(step)
        curve.add(step, **losses)
        if (step + 1) % config.save_every == 0 and step + 1 < config.steps:
            ema.swap()
            on_save(step + 1)
            ema.swap()
    ema.swap()
    on_save(config.steps)


@dataclass(frozen=True)
class Batch:
    """(B, ...) rows of `CachedData` with conditions dropped."""

    latents: Tensor
    text: Tensor
    identity: Tensor
    expression: Tensor


def draw(
    data: CachedData,
    domain: str,
    count: int,
    config: DenoiserTraining,
    generator: torch.Generator,
    *,
    plain: bool = False,
) -> Batch:
    """A random batch; each condition is dropped for a share of the rows, and all for as many."""
    rows = torch.randint(len(data.identity), (count,), generator=generator)
    photo = torch.randint(data.identity.shape[1], (count,), generator=generator)
    chance = torch.rand(5, count, generator=generator)
    no_text, no_identity, no_expression = (chance[[i, 3]].amin(0) < config.dropped for i in range(3))
    text = (data.plain_prompts if plain else data.prompts)[domain][rows]
    if not plain:
        text = torch.where(chance[4, :, None] < config.uncaptioned, data.bare_prompts[domain][rows], text)
    identity = data.identity[rows, photo] * ~no_identity[:, None]
    expression = data.descriptors[data.expression[rows]]
    return Batch(
        data.latents[domain][rows].float(),
        torch.where(no_text[:, None], data.empty, text),
        identity,
        torch.where(no_expression[:, None], data.empty, expression),
    )


@torch.no_grad()
def standardise_identity(adapter: Adapter, embeddings: Tensor) -> None:
    """Fold the embeddings' mean and spread into a fresh projector's first layer.

    A recogniser's embeddings share a large mean and differ little; without this the projector spends
    its first thousands of steps on finding out. The layer's shape and "no identity = zeros" stay.

    Args:
        embeddings: (N, D) of the training set.
    """
    first: Any = adapter.image_proj.proj[0]
    mean, spread = embeddings.mean(0), embeddings.std(0).clamp(min=1e-4)
    first.weight.div_(spread)
    first.bias.sub_(first.weight @ mean)
