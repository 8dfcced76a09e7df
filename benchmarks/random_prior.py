"""A prior of the full Stable Diffusion 1.5 architecture with random weights, to time and to size.

    from random_prior import random_prior, write_random_prior
    python benchmarks/random_prior.py FOLDER [PIXELS]

Weights do not change what a step costs. The text vocabulary is learnt from this project's own prompts, the
only part that differs from the published model; the text encoder's table keeps its published size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from id3d_engine.digest import sha256_of
from id3d_engine.expressions import EXPRESSIONS
from id3d_engine.priors.adapter_files import STRONG, UNET_FILE, AdapterConfig, save_adapter
from id3d_engine.priors.adapters import Adapter
from id3d_engine.priors.base import Base, save_base
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.prompts import DOMAINS, prompt
from id3d_engine.priors.tokenizer import train_clip_tokenizer

ARCFACE = 512
SPREAD = 0.02  # of random weights: what comes out stays finite in half precision


def random_base(pixels: int = 512) -> Base:
    """SD 1.5's parts for images of `pixels` a side; float32 on the CPU, 4.3 GB."""
    texts = [prompt("a head", "front view", d, e.descriptor) for d in DOMAINS for e in EXPRESSIONS]
    tokenizer = train_clip_tokenizer(texts, 500, 77)
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
    }
    with _quick_weights():
        # UNet2DConditionModel's defaults are Stable Diffusion 1's.
        unet = UNet2DConditionModel(sample_size=pixels // 8, cross_attention_dim=768)
        vae = AutoencoderKL(**blocks, layers_per_block=2, latent_channels=4, sample_size=pixels)
        encoder = CLIPTextModel(text)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    return Base(unet, vae, encoder, tokenizer, scheduler)


def random_prior(domain: str, device: str, pixels: int = 512, rank: int = 24) -> Prior:
    """A `Prior` with ArcFace's dimension and random adapters."""
    base = random_base(pixels)
    config = AdapterConfig(domain, "arcface", ARCFACE, prediction="epsilon", resolution=pixels, rank=rank)
    return Prior(base, _random_adapter(base, config), config, device)


def write_random_prior(folder: Path, pixels: int = 512) -> None:
    """The same as a prior folder for `--prior`, both domains on one base, in half precision: 2.1 GB."""
    base = random_base(pixels)
    save_base(base, folder)
    for domain in DOMAINS:
        config = AdapterConfig(
            domain, "arcface", ARCFACE, base=folder.name, base_sha256=sha256_of(folder / UNET_FILE),
            prediction="epsilon", resolution=pixels, advice=STRONG,
        )  # fmt: skip
        save_adapter(_random_adapter(base, config), config, folder)


def _random_adapter(base: Base, config: AdapterConfig) -> Adapter:
    adapter = Adapter(base.unet, config.sizes)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=SPREAD)
    return adapter


@contextmanager
def _quick_weights() -> Iterator[None]:
    """Plain normal weights instead of each layer's own, slower initialisation."""
    kept = torch.nn.Linear.reset_parameters, torch.nn.modules.conv._ConvNd.reset_parameters

    def normal(layer: torch.nn.Module) -> None:
        for parameter in layer.parameters(recurse=False):
            torch.nn.init.normal_(parameter, std=SPREAD)

    torch.nn.Linear.reset_parameters = normal
    torch.nn.modules.conv._ConvNd.reset_parameters = normal
    try:
        yield
    finally:
        torch.nn.Linear.reset_parameters, torch.nn.modules.conv._ConvNd.reset_parameters = kept


if __name__ == "__main__":
    write_random_prior(Path(sys.argv[1]), *(int(pixels) for pixels in sys.argv[2:3]))
