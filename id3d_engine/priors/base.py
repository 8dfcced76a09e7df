"""A text-to-image base: the parts of a Stable Diffusion pipeline folder, read and written.

base = load_base(folder, dtype=torch.float32)
set_latent_scale(base.vae, latents)        # after a VAE is trained
save_base(base, folder)                    # fp16 weights, `StableDiffusionPipeline` reads it
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_log
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_log

from ..errors import InputError
from ..models.pipeline import check_pipeline
from .layout import summary
from .tokenizer import save_clip_files

# What diffusers' models inherit (`config`, `to`, being called) is invisible to type checkers.
UNet: TypeAlias = Any  # diffusers.UNet2DConditionModel
Vae: TypeAlias = Any  # diffusers.AutoencoderKL
TextEncoder: TypeAlias = Any  # transformers.CLIPTextModel


@dataclass
class Base:
    """The parts of a Stable Diffusion pipeline."""

    unet: UNet
    vae: Vae
    text_encoder: TextEncoder
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler

    @property
    def image_size(self) -> int:
        """Pixels a side of what it works on."""
        return image_size(self.unet.config, self.vae.config)


def image_size(unet: Mapping[str, Any], vae: Mapping[str, Any]) -> int:
    """Pixels a side of what a pipeline works on, by its parts' configurations."""
    return unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)


def set_image_size(base: Base, pixels: int) -> None:
    """Let the base work on images of so many pixels a side: a UNet knows any, best those it was shown."""
    base.unet.register_to_config(sample_size=pixels // 2 ** (len(base.vae.config.block_out_channels) - 1))


def set_latent_scale(vae: Vae, latents: torch.Tensor) -> float:
    """Set `scaling_factor` to 1 / standard deviation of unscaled latents; returns it.

    Args:
        vae: Its config is changed in place.
        latents: Posterior modes of a few hundred training images, unscaled, any shape.
    """
    scale = 1.0 / float(latents.float().std())
    vae.register_to_config(scaling_factor=scale)
    return scale


def save_base(base: Base, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write the pipeline folder with weights in `dtype`; `base` itself keeps its own."""
    from diffusers import StableDiffusionPipeline

    vae, text_encoder, unet = (
        _cast(copy.deepcopy(part), dtype) for part in (base.vae, base.text_encoder, base.unet)
    )
    for part in (vae, unet):
        part.register_to_config(_name_or_path="")  # else the folder on this machine that it was read from
    pipeline: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=base.tokenizer,
        unet=unet,
        scheduler=base.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with _own_progress_only():
        pipeline.save_pretrained(folder, safe_serialization=True)
    save_clip_files(base.tokenizer, Path(folder) / "tokenizer")


def load_base(folder: Path, dtype: torch.dtype = torch.float32) -> Base:
    """Read a pipeline folder (this project's or any Stable Diffusion 1.x/2.x one) in `dtype`.

    Raises:
        InputError: the folder holds another kind of model, is incomplete or damaged, its weights are
            pickled, or lack keys (its details name each).
    """
    check_pipeline(Path(folder))
    with _own_progress_only():
        return Base(
            unet=_model(UNet2DConditionModel, folder, "unet", torch_dtype=dtype),
            vae=_model(AutoencoderKL, folder, "vae", torch_dtype=dtype),
            text_encoder=_model(CLIPTextModel, folder, "text_encoder", dtype=dtype),
            tokenizer=_part(CLIPTokenizer, folder, "tokenizer"),
            scheduler=_part(DDIMScheduler, folder, "scheduler"),
        )


def _part(kind: Any, folder: Path, name: str, **how: Any) -> Any:
    try:
        return kind.from_pretrained(folder, subfolder=name, **how)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{Path(folder) / name} is damaged: copy the folder again") from error


def _model(kind: Any, folder: Path, name: str, **how: Any) -> Any:
    """A part with weights, all of them: what a file lacks would else be random, with a warning alone."""
    try:
        model, info = kind.from_pretrained(folder, subfolder=name, output_loading_info=True, **how)
    except (OSError, ValueError, RuntimeError, SafetensorError):  # read so, all keys of wrong shapes are told
        how |= {"output_loading_info": True, "ignore_mismatched_sizes": True, "low_cpu_mem_usage": False}
        model, info = _part(kind, folder, name, **how)
    wrong = [f"missing {key}" for key in sorted(info["missing_keys"])]
    wrong += [
        f"{key} is {tuple(found)}, its configuration needs {tuple(needed)}"
        for key, found, needed in sorted(info["mismatched_keys"])
    ]
    if wrong:
        raise InputError(
            f"the weights in {Path(folder) / name} are partial, or of another model: {summary(wrong)}; copy"
            " the folder again",
            wrong,
        )
    return model


@contextmanager
def _own_progress_only() -> Iterator[None]:
    """Without the bars that reading and writing models draws into ours, and without warnings."""
    logs = (diffusers_log, transformers_log)
    shown = [log for log in logs if log.is_progress_bar_enabled()]
    levels = [log.get_verbosity() for log in logs]
    for log in shown:
        log.disable_progress_bar()
    for log in logs:
        log.set_verbosity_error()
    try:
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
        for log in shown:
            log.enable_progress_bar()


def _cast(model: Any, dtype: torch.dtype) -> Any:
    # The models' own `to` warns about float32 modules on every cast, though they have none.
    return torch.nn.Module.to(model, dtype)
