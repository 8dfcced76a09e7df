"""A single-file Stable Diffusion 1.x or 2.x checkpoint, as a pipeline folder.

    convert_checkpoint(Path("model.safetensors"), like=Path("models/sd1.5"), out=Path("folder"))

The key mapping is diffusers' own. Configuration, tokenizer and scheduler come from a pipeline of the
same class, and with them whether the model predicts noise or v, which a checkpoint does not say.
Offline: diffusers' whole-pipeline reader would ask the hub for these.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError
from .base import load_base, save_base
from .layout import differences, shapes, summary

PARTS = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model."}
_OPEN_CLIP = "cond_stage_model.model."
# Buffers that older versions stored, and a head that the pipeline does not use.
_UNUSED = ("embeddings.position_ids", "text_projection.weight")


def convert_checkpoint(path: Path, like: Path, out: Path) -> None:
    """Write a pipeline folder in float16.

    Args:
        path: A safetensors file in the layout of the original code, fp16, bf16 or float32.
        like: A pipeline folder of the same class.
        out: A new folder.

    Raises:
        InputError: the file is partial or of another class than `like`; its keys are named.
    """
    base = load_base(like, torch.float16)
    tensors = load_file(path)
    parts: dict[str, Any] = {"unet": base.unet, "vae": base.vae, "text_encoder": base.text_encoder}
    wrong = []
    for name, model in parts.items():
        try:
            found = _converted(name, model, tensors)
        except KeyError as error:  # of a bias, say, whose weight is there
            wrong.append(f"{name}: missing {error.args[0]}")
            continue
        for key in [key for key in found if key.endswith(_UNUSED)]:
            del found[key]
        wrong += [
            f"{name}: {phrase}"
            for phrase in differences(found, shapes(model.state_dict()), whose=f"{like.name}")
        ]
        if not wrong:
            model.load_state_dict(found)
    if wrong:
        raise InputError(
            f"{path.name} is partial, or of another class than {like.name}: {summary(wrong)}; get the file"
            " again, or name another --like",
            wrong,
        )
    save_base(base, out)


def _converted(name: str, model: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """One part under the names that `model` uses; whatever the file lacks is left out."""
    own = {key: value for key, value in tensors.items() if key.startswith(PARTS[name])}
    if name == "unet":
        return convert_ldm_unet_checkpoint(own, model.config)
    if name == "vae":
        return convert_ldm_vae_checkpoint(own, model.config)
    if any(key.startswith(_OPEN_CLIP) for key in own):
        found = convert_open_clip_checkpoint(model, own, prefix=_OPEN_CLIP)
    else:
        found = convert_ldm_clip_checkpoint(own)
    # transformers dropped the outer name in version 5.6.
    if not hasattr(model, "text_model"):
        found = {key.removeprefix("text_model."): value for key, value in found.items()}
    return found
