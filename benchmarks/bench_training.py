"""Images a second of our training step against the plain diffusers LoRA loop, in one run.

    python benchmarks/bench_training.py [--size tiny|sd15] [--batch 8] [--steps 4] [--rounds 3]
                                        [--pixels 512] [--device auto]

    ours       adapters of both domains on a frozen base, half of the batch each: low-rank self-attention,
               identity and expression attention; latents encoded and texts read beforehand, as we train
    again      the same with activations computed again in the backward pass (--checkpointing)
    plain      as diffusers' own example script by default: peft's LoRA of the same rank on self-attention's
               Q, K and V, images through the autoencoder and texts through the text encoder at every step,
               frozen weights in the training's precision. No identity or expression attention, hence less
               work in the UNet

Both are AdamW, clipped, and use the same precision: bf16 on a GPU that has it, float32 on a CPU. Weights are
random, which costs the same. "tiny" is our starter's architecture at 128 px, about a minute on a CPU;
"sd15" is Stable Diffusion 1.5's at 512 px and wants a GPU of 24 GB. `pip install peft` for the plain loop.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from random_prior import random_base
from torch import Tensor
from torch.nn import functional

from id3d_engine.device import mixed_precision, pick
from id3d_engine.expressions import EXPRESSIONS
from id3d_engine.job import Job
from id3d_engine.priors.adapters import Adapter, AdapterSizes
from id3d_engine.priors.base import Base
from id3d_engine.priors.noise import NoiseSchedule
from id3d_engine.priors.prompts import DOMAINS, prompt
from id3d_engine.priors.training.curves import Curve
from id3d_engine.priors.training.data import TrainingData
from id3d_engine.priors.training.denoiser import Denoiser, DenoiserTraining, train_denoiser
from id3d_engine.priors.training.starter_base import StarterConfig, build_starter_base
from id3d_engine.priors.training.train import BASE_DTYPES

DIMENSION, RANK, SAMPLES = 512, 24, 32  # few samples: all their texts are read while kernels are chosen
VIEWS = ("front view", "left side view", "right side view", "back view")
TEXTS = [prompt("a young woman", v, d, e.descriptor) for d in DOMAINS for e in EXPRESSIONS for v in VIEWS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=("tiny", "sd15"), default="tiny")
    parser.add_argument("--batch", type=int, default=8, help="images a step (default 8)")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of a round (default 4)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns of the loops; the median counts (default 3)"
    )
    parser.add_argument("--pixels", type=int, default=512, help="of sd15 (default 512)")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device = pick(options.device)
    if options.batch % len(DOMAINS):
        parser.error(f"--batch {options.batch} does not divide by {len(DOMAINS)} domains")
    accelerator = Accelerator(mixed_precision=mixed_precision("auto"), cpu=device.type == "cpu")
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} thread(s)"
    )
    print(
        f"{options.size}, {options.batch} images a step, {accelerator.mixed_precision}, {device} ({name})\n"
    )
    loops: dict[str, Callable[[Base, Accelerator, int, int], list[float]]] = {
        "ours": ours,
        "again": lambda *how: ours(*how, checkpointing=True),
        "plain": plain,
    }
    try:
        import peft  # noqa: F401
    except ImportError:
        del loops["plain"]
        print("the plain loop is left out: it needs peft (pip install 'id3d-engine[bench]')\n")
    spent: dict[str, list[float]] = {loop: [] for loop in loops}
    peaks = dict.fromkeys(loops, 0.0)
    # In turns, so that what else the machine does is shared by all.
    for loop, run in [*loops.items()] * options.rounds:
        torch.manual_seed(0)
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        base = random_base(options.pixels) if options.size == "sd15" else _tiny()
        # Two more, in which kernels are chosen and memory is taken.
        spent[loop] += run(base, accelerator, options.batch, options.steps + 2)[2:]
        if device.type == "cuda":
            peaks[loop] = torch.cuda.max_memory_allocated(device) / 1e9
        accelerator.free_memory()
    rates = {loop: options.batch / statistics.median(seconds) for loop, seconds in spent.items()}
    print("| loop | images a second | over plain | peak memory |\n|---|--:|--:|--:|")
    for loop, rate in rates.items():
        over = f"{rate / rates['plain']:.2f}" if "plain" in rates else "-"
        peak = f"{peaks[loop]:.1f} GB" if peaks[loop] else "-"
        print(f"| {loop} | {rate:.2f} | {over} | {peak} |")
    return 0


def _tiny() -> Base:
    return build_starter_base(TEXTS, StarterConfig(image_size=128))


class Stopwatch(Curve):
    """A curve that notes when each step was done."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(None)
        self.device, self.times = device, [time.perf_counter()]

    def add(self, step: int, **values: Tensor) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())

    def spent(self) -> list[float]:
        """Seconds of each step."""
        return [b - a for a, b in zip(self.times, self.times[1:], strict=False)]


def ours(
    parts: Base, accelerator: Accelerator, batch: int, steps: int, *, checkpointing: bool = False
) -> list[float]:
    """Seconds of each step of `train_denoiser`."""
    adapters = {d: Adapter(parts.unet, AdapterSizes(DIMENSION, rank=RANK)) for d in DOMAINS}
    torch.nn.Module.to(parts.unet, BASE_DTYPES[accelerator.mixed_precision])
    model = Denoiser(parts.unet, adapters)
    config = DenoiserTraining(steps=steps, batch=batch, train_base=False, checkpointing=checkpointing)
    watch = Stopwatch(accelerator.device)
    schedule = NoiseSchedule.of(parts.scheduler)
    encoder, data = parts.text_encoder, _data(parts)
    train_denoiser(model, encoder, schedule, data, config, Job(), accelerator, watch, lambda step: None)
    return watch.spent()


def _data(parts: Base) -> TrainingData:
    side, channels = parts.unet.config.sample_size, parts.unet.config.in_channels
    rows = {d: torch.arange(SAMPLES) for d in DOMAINS}
    return TrainingData(
        latents={d: torch.randn(SAMPLES, channels, side, side).half() for d in DOMAINS},
        identity=torch.randn(SAMPLES, 2, DIMENSION),
        person=torch.arange(SAMPLES),
        texts=_tokens(parts, TEXTS[:SAMPLES]),
        prompts=rows,
        plain_prompts=rows,
        bare_prompts=rows,
        expression=torch.arange(SAMPLES),
        empty=0,
    )


def plain(parts: Base, accelerator: Accelerator, batch: int, steps: int) -> list[float]:
    """Seconds of each step of the loop that diffusers' users begin with."""
    from peft import LoraConfig

    device, dtype = accelerator.device, BASE_DTYPES[accelerator.mixed_precision]
    frozen: tuple[Any, ...] = (parts.unet, parts.vae, parts.text_encoder)
    for part in frozen:
        torch.nn.Module.to(part, device, dtype).requires_grad_(False)
    targets = [f"attn1.{name}" for name in ("to_q", "to_k", "to_v")]
    parts.unet.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, init_lora_weights="gaussian", target_modules=targets)
    )
    trained = [p for p in parts.unet.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    unet, prepared = accelerator.prepare(parts.unet, optimizer)
    schedule, watch = NoiseSchedule.of(parts.scheduler), Stopwatch(device)
    images = torch.rand(SAMPLES, 3, parts.image_size, parts.image_size)
    texts = _tokens(parts, TEXTS[:SAMPLES])
    for step in range(steps):
        rows = torch.randint(SAMPLES, (batch,))
        with torch.no_grad():
            pixels = (images[rows] * 2 - 1).to(device, dtype)
            latents = parts.vae.encode(pixels).latent_dist.sample() * parts.vae.config.scaling_factor
            words = parts.text_encoder(texts[rows].to(device))[0]
        noise = torch.randn_like(latents)
        t = torch.randint(schedule.steps, (batch,), device=device)
        predicted = unet(schedule.add_noise(latents, noise, t).to(dtype), t, words, return_dict=False)[0]
        target = schedule.target(latents, noise, t)
        accelerator.backward(functional.mse_loss(predicted.float(), target.float()))
        accelerator.clip_grad_norm_(trained, 1.0)
        prepared.step()
        prepared.zero_grad()
        watch.add(step)
    return watch.spent()


def _tokens(parts: Base, texts: list[str]) -> Tensor:
    return parts.tokenizer(
        texts, padding="max_length", truncation=True, max_length=parts.tokenizer.model_max_length,
        return_tensors="pt",
    ).input_ids  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
