"""One step of plain score distillation against the sum of its floors, and against a plain diffusers step.

    python benchmarks/bench_sds_step.py [--prior sd15|starter|FOLDER] [--batch 4 8] [--device auto]
                                        [--pixels 512] [--repeats 10] [--graphs] [--compile] [--gpu-gb 8]

A step goes from images to the gradient that distillation asks of them. Its floors, measured alone in the
same run, in our dtype and layout: the base UNet's forward pass with guidance (two rows an image), and the
autoencoder's encoder, forward and backward.

    ours       adapters on: low-rank self-attention, identity and expression attention
    quick      the same, renders read by the linear encoder of the coarse rounds
    graphs     ours with the UNet's pass recorded as a CUDA graph (--graphs, on a GPU)
    compiled   ours with torch.compile on UNet and encoder (--compile; warm-up is not counted)
    plain      the usual recipe in plain diffusers calls: eager, contiguous, float16 on a GPU, a sample of
               the encoder, noise, two UNet rows an image, and a squared error whose gradient is the
               guidance's. No adapter at all, hence less work.

Prints a Markdown table; "sd15" is the architecture with random weights, which cost the same. Peaks are a
step's own and its networks' weights: this benchmark keeps more of them than a run does. --gpu-gb leaves the
process so much of the GPU, as a smaller one would, and takes images in turns where that asks for it. Where
not even one fits beside all networks, it says what the prior does then, and times our own steps alone.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from random_prior import random_prior
from torch import Tensor
from torch.nn import functional

from id3d_engine.device import pick
from id3d_engine.priors.cuda_graphs import Graphed
from id3d_engine.priors.guidance import sds_loss
from id3d_engine.priors.memory import ALL, frugality, peak_bytes
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.quick_encoder import QuickEncoder

GUIDANCE = 7.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--prior", default="sd15")
    parser.add_argument("--batch", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pixels", type=int, default=512, help="of the random prior (default 512)")
    parser.add_argument("--repeats", type=int, default=10, help="timed calls; the median counts (default 10)")
    parser.add_argument("--graphs", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--gpu-gb", type=float, help="of the GPU for this process (default all)")
    options = parser.parse_args()
    device = pick(options.device)
    torch.manual_seed(0)
    limit_gpu(device, options.gpu_gb)
    if options.prior == "sd15":
        prior = random_prior("geometry", str(device), options.pixels)
    else:
        prior = Prior.load(options.prior, "geometry", device)
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"{name}; torch {torch.__version__}; {prior.image_size} px, {prior.dtype}")
    print(f"images at once, by the memory free now: {prior.at_once}" if on_gpu else "")
    if frugality(prior):
        print(frugality(prior))
        measure_frugal(prior, options.batch, options.repeats)
        return 0
    graphs = options.graphs and on_gpu
    columns = ["batch", "UNet", "VAE", "sum", "ours", "over sum", "quick", "plain", "over ours", "over quick"]
    columns += ["graphs", "over sum"] * graphs + ["compiled", "over sum"] * options.compile
    columns += ["peak GB, ours", "plain"] * on_gpu
    print(f"\n| {' | '.join(columns)} |\n|{'--:|' * len(columns)}")
    for batch in options.batch:
        in_turns = options.gpu_gb is not None
        cells = measure(prior, batch, options.repeats, graphs, options.compile, in_turns)
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0


def limit_gpu(device: torch.device, gigabytes: float | None) -> None:
    """Leave this process so much of a GPU."""
    if gigabytes is not None and device.type == "cuda":
        total = torch.cuda.mem_get_info(device)[1]
        torch.cuda.set_per_process_memory_fraction(min(gigabytes * 1e9 / total, 1.0), device)


class Step:
    """One step of ours, on random images of a made-up person."""

    def __init__(self, prior: Prior, batch: int) -> None:
        g, size = torch.Generator().manual_seed(1), prior.image_size
        self.prior = prior
        self.images = torch.rand(batch, 3, size, size, generator=g).to(prior.device).requires_grad_()
        self.noise, self.t = prior.noise(batch, g), torch.full((batch,), prior.steps // 2)
        face = functional.normalize(torch.randn(prior.config.identity_dimension, generator=g), dim=0)
        self.conditions = prior.conditions(face, "a broad grin", ["front view"] * batch)
        self.quick = QuickEncoder.fit(prior, self.images.detach())

    def __call__(self, encode: Callable[[Tensor], Tensor] | None = None) -> None:
        losses = sds_loss(
            self.prior, self.images, self.conditions, self.t,
            guidance_scale=GUIDANCE, noise=self.noise, encode=encode,
        )  # fmt: skip
        losses.mean().backward()


def measure_frugal(prior: Prior, batches: Sequence[int], repeats: int) -> None:
    """Print a table of our own steps, for a GPU that holds no second copy of the networks."""
    print("\n| batch | ours | quick | peak GB, ours |\n|--:|--:|--:|--:|")
    for batch in batches:
        step = Step(prior, batch)
        ms = timed({"ours": step, "quick": partial(step, step.quick)}, prior, repeats)
        torch.cuda.reset_peak_memory_stats(prior.device)
        step()
        peak = torch.cuda.max_memory_allocated(prior.device) / 1e9
        print(f"| {batch} | {ms['ours']:.1f} ms | {ms['quick']:.1f} ms | {peak:.1f} |", flush=True)


def measure(
    prior: Prior, batch: int, repeats: int, graphs: bool, compiled: bool, in_turns: bool = False
) -> list[str]:
    """The cells of one row."""
    ours = Step(prior, batch)
    images, noise, t, conditions = ours.images, ours.noise, ours.t, ours.conditions
    kept, prior.at_once = prior.at_once, prior.at_once if in_turns else ALL

    def vae() -> None:
        prior.encode(images).sum().backward()

    twice, steps = torch.cat([noise, noise]).to(prior.dtype), torch.cat([t, t]).to(prior.device)
    text = torch.cat([conditions.no_text.expand_as(conditions.text), conditions.text])

    @torch.no_grad()
    def unet() -> None:
        bare(twice, steps, encoder_hidden_states=text, return_dict=False)

    prior.adapter.remove(prior.denoiser.unet)
    bare = copy.deepcopy(prior.denoiser.unet)
    plain = PlainStep(prior, text)
    prior.adapter.fuse(prior.denoiser.unet)
    calls: dict[str, Callable[[], None]] = {
        "vae": vae,
        "unet": unet,
        "ours": ours,
        "quick": lambda: ours(ours.quick),
        "plain": lambda: plain(images, t),
    }
    if graphs:
        recorded = Graphed(prior.denoiser, most_rows=2 * batch)
        calls["graphs"] = partial(swapped, prior, recorded, prior.vae.encoder, ours)
    if compiled:
        denoiser, encoder = torch.compile(prior.denoiser), torch.compile(prior.vae.encoder)
        calls["compiled"] = partial(swapped, prior, denoiser, encoder, ours)
    ms = timed(calls, prior, repeats)
    floor = ms["unet"] + ms["vae"]
    cells = [str(batch), *(f"{v:.1f} ms" for v in (ms["unet"], ms["vae"], floor, ms["ours"]))]
    cells += [f"{ms['ours'] / floor:.2f}", f"{ms['quick']:.1f} ms", f"{ms['plain']:.1f} ms"]
    cells += [f"{ms['plain'] / ms[name]:.2f}x" for name in ("ours", "quick")]
    for name in ["graphs"] * graphs + ["compiled"] * compiled:
        cells += [f"{ms[name]:.1f} ms", f"{ms[name] / floor:.2f}"]
    if prior.device.type == "cuda":
        for name, networks in (
            ("ours", (prior.denoiser, prior.vae, prior.text_encoder)),
            ("plain", (plain.unet, plain.vae, prior.text_encoder)),
        ):
            weights = sum(p.nbytes for network in networks for p in network.parameters())
            cells.append(f"{(weights + peak_bytes(calls[name], prior.device)) / 1e9:.1f}")
    prior.at_once = kept
    return cells


def swapped(prior: Prior, denoiser: Any, encoder: Any, call: Callable[[], None]) -> None:
    """`call` with other modules in the prior's places."""
    eager = prior.denoiser, prior.vae.encoder
    prior.denoiser, prior.vae.encoder = denoiser, encoder
    call()
    prior.denoiser, prior.vae.encoder = eager


class PlainStep:
    """Score distillation as it is usually written, on copies of the base's parts."""

    def __init__(self, prior: Prior, text: Tensor) -> None:
        self.dtype = torch.float16 if prior.device.type == "cuda" else prior.dtype
        unet, vae = copy.deepcopy((prior.denoiser.unet, prior.vae))
        self.unet, self.vae = (m.to(self.dtype, memory_format=torch.contiguous_format) for m in (unet, vae))
        self.text, self.abar, self.device = text.to(self.dtype), prior.schedule.abar, prior.device
        self.v_prediction = prior.schedule.prediction == "v_prediction"

    def __call__(self, images: Tensor, t: Tensor) -> None:
        t = t.to(self.device)
        posterior = self.vae.encode((images * 2 - 1).to(self.dtype)).latent_dist
        latents = (posterior.sample() * self.vae.config.scaling_factor).float()
        abar = self.abar[t].view(-1, 1, 1, 1)
        with torch.no_grad():
            noise = torch.randn_like(latents)
            noisy = abar.sqrt() * latents + (1 - abar).sqrt() * noise
            rows = torch.cat([noisy, noisy]).to(self.dtype)
            out = self.unet(rows, torch.cat([t, t]), encoder_hidden_states=self.text).sample
            nothing, wanted = out.float().chunk(2)
            guided = nothing + GUIDANCE * (wanted - nothing)
            if self.v_prediction:
                guided = abar.sqrt() * guided + (1 - abar).sqrt() * noisy
            gradient = torch.nan_to_num((1 - abar) * (guided - noise))
            target = latents - gradient
        (0.5 * functional.mse_loss(latents, target, reduction="sum") / len(images)).backward()


def timed(calls: Mapping[str, Callable[[], object]], prior: Prior, repeats: int) -> dict[str, float]:
    """Milliseconds, the median of `repeats` rounds after two to warm up; calls take turns.

    In turns, so that whatever else the machine does meets all of them alike.
    """
    on_gpu = prior.device.type == "cuda"
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 2):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if on_gpu:
                torch.cuda.synchronize(prior.device)
            spent[name].append(time.perf_counter() - began)
    return {name: statistics.median(values[2:]) * 1e3 for name, values in spent.items()}


if __name__ == "__main__":
    sys.exit(main())
