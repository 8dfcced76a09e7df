"""Training of the UNet base and of its two adapters on encoded data.

Three parts can be trained, each alone or together: the base's UNet, and the adapters of the two
domains. The paper's split is the adapters alone on a frozen base; a UNet that is trained from nothing
learns fastest together with them, since the adapters' images are all it has. The text encoder rests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...device import sent
from ...job import Job, Stepper
from ..adapters import Adapter, answer, install, listen
from ..base import TextEncoder, UNet
from ..memory import SHARE, free_bytes, peak_bytes
from ..noise import NoiseSchedule
from ..prompts import DOMAINS
from .curves import Curve
from .data import TrainingData, draw
from .optimizers import make_optimizer
from .parallel import average_gradients
from .text_tokens import TextTokens
from .vae import warm_cosine

LARGE = 200_000_000  # weights of a UNet, from which activations fill a GPU


@dataclass(frozen=True)
class DenoiserTraining:
    """How the denoiser is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Images a pass and process, shared by the domains.
        accumulate: Passes a step: their gradients are averaged.
        optimizer: See `make_optimizer`.
        checkpointing: Compute activations again in the backward pass instead of keeping them; None does so
            where the base is large and a GPU has no room for them.
        learning_rate: Peak of a warm-up and cosine schedule.
        dropped: Share of samples that lose one condition, for each of text, identity, expression;
            as large a share loses all three (classifier-free guidance).
        uncaptioned: Share of samples whose text keeps the view and loses the caption, as at use without
            a text.
        plain_every: Every so many steps the base is trained without adapters, with the expression in
            its text, so that it stays a text-to-image model of its own. 0 is never.
        ema: Half-life in steps of the averaged weights that are kept; ramped up from the start.
        train_base: Train the UNet too, not the adapters alone.
        save_every: Steps between two calls of `on_save` with the averaged weights in place.
    """

    steps: int = 6000
    batch: int = 24
    accumulate: int = 1
    optimizer: str = "adamw"
    checkpointing: bool | None = None
    learning_rate: float = 5e-4
    dropped: float = 0.08
    uncaptioned: float = 0.4
    plain_every: int = 10
    ema: float = 300.0
    train_base: bool = True
    save_every: int = 1000


class Denoiser(nn.Module):
    """UNet and both adapters: all that training may change."""

    def __init__(self, unet: UNet, adapters: dict[str, Adapter]) -> None:
        super().__init__()
        self.unet, self.adapters = unet, nn.ModuleDict(adapters)

    def forward(
        self,
        domains: Sequence[str],
        latents: Tensor,
        t: Tensor,
        text: Tensor,
        identity: Tensor,
        expression: Tensor,
    ) -> Tensor:
        """The base's raw prediction, each domain's adapter on its equal share of the rows.

        Args:
            domains: Without any, it is the base without an adapter.
            latents: (B, 4, h, w). t: (B,). text, expression: (B, L, C) tokens. identity: (B, D).
        """
        if not domains:
            Adapter.remove(self.unet)
            return self.unet(latents, t, encoder_hidden_states=text, return_dict=False)[0]
        adapters: list[Any] = [self.adapters[domain] for domain in domains]
        install(self.unet, adapters)
        return answer(self.unet, latents, t, listen(self.unet, adapters, text, identity, expression))


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
    text_encoder: TextEncoder,
    schedule: NoiseSchedule,
    data: TrainingData,
    config: DenoiserTraining,
    job: Job,
    accelerator: Accelerator,
    curve: Curve,
    on_save: Callable[[int], None],
) -> None:
    """Train in place; the averaged weights are in the model at each `on_save` and at the end.

    The loss is the mean squared error of the schedule's own target (epsilon, or v as in Salimans
    and Ho 2022, arXiv 2202.00512), ID-to-3D's `L_simple`. A step draws the samples of all its passes
    and processes at once and each takes its part, so that n processes or n passes do what one with n
    times the batch would.
    """
    model.unet.requires_grad_(config.train_base)
    parameters = tuple(p for p in model.parameters() if p.requires_grad)
    for part in (model, text_encoder):
        part.to(accelerator.device)
    again = config.checkpointing
    if lacks_room(model, data, config, accelerator) if again is None else again:
        model.unet.enable_gradient_checkpointing()
    plain_optimizer = make_optimizer(config.optimizer, parameters, config.learning_rate, accelerator.device)
    optimizer: Any = accelerator.prepare(plain_optimizer)
    ema = WeightAverage(parameters, config.ema)
    state = DenoiserState(model if config.train_base else model.adapters, optimizer, ema)
    words = TextTokens(text_encoder.eval(), data.texts)
    for step in job.steps("denoiser", config.steps, state, "training the denoiser"):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * warm_cosine(step, config.steps, 200)
        plain = config.train_base and config.plain_every > 0 and step % config.plain_every == 0
        generator = job.generator("denoiser", step)
        optimizer.zero_grad()
        losses = _passes(model, schedule, data, words, config, generator, accelerator, plain=plain)
        average_gradients(parameters, accelerator)
        accelerator.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        ema.update(step)
        curve.add(step, **({"plain": losses.mean()} if plain else dict(zip(DOMAINS, losses, strict=True))))
        if (step + 1) % config.save_every == 0 and step + 1 < config.steps:
            ema.swap()
            on_save(step + 1)
            ema.swap()
    ema.swap()
    on_save(config.steps)


def _passes(
    model: Denoiser,
    schedule: NoiseSchedule,
    data: TrainingData,
    words: TextTokens,
    config: DenoiserTraining,
    generator: torch.Generator,
    accelerator: Accelerator,
    *,
    plain: bool,
) -> Tensor:
    """Forward and backward of this process's samples; returns (D,) mean losses, one a domain."""
    count = max(config.batch // len(DOMAINS), 1)
    everyone, device = accelerator.num_processes, accelerator.device
    samples = count * config.accumulate * everyone
    batches, noises, times = [], [], []
    for domain in DOMAINS:
        batches.append(draw(data, domain, samples, config, generator, plain=plain))
        noises.append(torch.randn((samples, *data.latents[domain].shape[1:]), generator=generator))
        times.append(torch.randint(schedule.steps, (samples,), generator=generator))
    losses = []
    for part in range(config.accumulate):
        first = (part * everyone + accelerator.process_index) * count
        mine = slice(first, first + count)
        rows = [batch.rows[mine] for batch in batches]
        clean = torch.cat([data.latents[d][r].float() for d, r in zip(DOMAINS, rows, strict=True)])
        noise, t = (torch.cat([each[mine] for each in drawn]) for drawn in (noises, times))
        noised, target = (
            sent(each, device)
            for each in (schedule.add_noise(clean, noise, t), schedule.target(clean, noise, t))
        )
        text, identity, expression = (
            torch.cat([getattr(batch, name)[mine] for batch in batches])
            for name in ("text", "identity", "expression")
        )
        with _quick_attention(accelerator):
            with accelerator.autocast():
                predicted = model(
                    () if plain else DOMAINS,
                    noised,
                    sent(t, device),
                    words(text),
                    sent(identity, device),
                    words(expression),
                )
            # Domains have as many samples each, so the mean of their losses is the mean of all.
            error = functional.mse_loss(predicted.float(), target, reduction="none")
            loss = error.unflatten(0, (len(DOMAINS), count)).flatten(1).mean(dim=1)
            accelerator.backward(loss.mean() / config.accumulate)
        losses.append(loss.detach())
    return torch.stack(losses).mean(dim=0)


def lacks_room(
    model: Denoiser, data: TrainingData, config: DenoiserTraining, accelerator: Accelerator
) -> bool:
    """Whether a large base's activations of a whole pass do not fit beside what is on the device.

    On a GPU, by what one image's take; elsewhere always, since memory cannot be asked.
    """
    if sum(p.numel() for p in model.unet.parameters()) <= LARGE:
        return False
    device = accelerator.device
    if device.type != "cuda":
        return True
    width = model.unet.config.cross_attention_dim
    domain = DOMAINS[0]
    latents = torch.zeros(1, *data.latents[domain].shape[1:], device=device)
    tokens = torch.zeros(1, data.texts.shape[1], width, device=device)
    nobody = torch.zeros(1, data.identity.shape[-1], device=device)

    def one() -> None:
        with accelerator.autocast():
            t = torch.zeros(1, dtype=torch.long, device=device)
            out = model((domain,), latents, t, tokens, nobody, tokens)
        out.float().square().mean().backward()
        model.zero_grad()

    try:
        need = peak_bytes(one, device)
    except torch.cuda.OutOfMemoryError:
        return True
    return need * config.batch > SHARE * free_bytes(device)


def _quick_attention(accelerator: Accelerator) -> AbstractContextManager[None]:
    """A CPU's fused attention is slow to give gradients in bf16: 40 % of a step, plain products take 10 %."""
    if accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16":
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


@torch.no_grad()
def standardise_identity(adapter: Adapter, embeddings: Tensor) -> None:
    """Fold the embeddings' mean and spread into a fresh projector's first layer.

    A recogniser's embeddings share a large mean and differ little; without this the projector spends
    its first thousands of steps on finding out. The layer's shape and "no identity = zeros" stay.

    Args:
        embeddings: (N, D) of the training set.
    """
    first: Any = adapter.image_proj.proj[0]
    mean, spread = embeddings.mean(0), embeddings.std(0, correction=0).clamp(min=1e-4)
    first.weight.div_(spread)
    first.bias.sub_(first.weight @ mean)
