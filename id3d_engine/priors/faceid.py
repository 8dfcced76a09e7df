"""Published IP-Adapter-FaceID and FaceID-Portrait weights, as this project's adapter.

    tensors = read_faceid(Path("faceid.safetensors"))
    adapter, updates = adapter_of(unet, tensors)

FaceID's layout (IP-Adapter, `tutorial_train_faceid.py`): `image_proj.*` is the identity projector;
`ip_adapter.I.*` belongs to the I-th attention layer in the order of `unet.attn_processors` (down,
up, then mid; odd I are cross-attentions), where `to_k_ip` / `to_v_ip` are the identity's keys and
values. FaceID (4 tokens) also has `to_{q,k,v,out}_lora` in every layer: low-rank updates of the base
that are always on. Portrait (16 tokens) has none.

The updates are kept beside the adapter and added to the base whenever the prior is loaded
(`low_rank.py`), so that one installed base serves any number of priors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError
from .adapters import Adapter, AdapterSizes, attention_layers
from .base import UNet
from .layout import Shape, differences, summary
from .low_rank import PREFIX, linear_of

ENCODER = "arcface"
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out")


def read_faceid(path: Path) -> dict[str, Tensor]:
    """Flat tensors of a FaceID file.

    Raises:
        InputError: not whole safetensors, or not FaceID's keys (the Plus variants have others).
    """
    if Path(path).suffix != ".safetensors":
        raise InputError(
            f"{path} is not a safetensors file, and pickled weights are never opened: run `id3d models add"
            f" {path}`, which names the command that converts it"
        )
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error}): get the file again") from error
    if "image_proj.norm.weight" not in tensors or any("perceiver" in key for key in tensors):
        raise InputError(f"{path} is not an IP-Adapter-FaceID file: use a FaceID or FaceID-Portrait one")
    return tensors


@torch.no_grad()
def adapter_of(
    unet: UNet, tensors: dict[str, Tensor], rank: int = AdapterSizes.rank
) -> tuple[Adapter, dict[str, Tensor]]:
    """An adapter with FaceID's identity weights and fresh ones for expression and domain.

    Args:
        unet: The base; not changed.
        tensors: What `read_faceid` gave.
        rank: Of the fresh domain branches.

    Returns:
        The adapter, in eval mode, and the low-rank updates of the base for `low_rank.fold`, by key;
        none for Portrait.

    Raises:
        InputError: the file is partial, or for another UNet.
    """
    sizes = _sizes(unet, tensors, rank)
    adapter = Adapter(unet, sizes)
    layers = attention_layers(unet)
    _check(unet, tensors, adapter, layers)
    adapter.image_proj.load_state_dict(
        {k.removeprefix("image_proj."): v for k, v in tensors.items() if k.startswith("image_proj.")}
    )
    updates = {}
    for index, (path, attention) in enumerate(layers.items()):
        slashed = path.replace(".", "/")
        if attention.is_cross_attention:
            branch: Any = adapter.branch(path)
            branch.to_k_id.weight.copy_(tensors[f"ip_adapter.{index}.to_k_ip.weight"])
            branch.to_v_id.weight.copy_(tensors[f"ip_adapter.{index}.to_v_ip.weight"])
        for name in PROJECTIONS:
            for part in ("down", "up"):
                key = f"ip_adapter.{index}.{name}_lora.{part}.weight"
                if key in tensors:
                    updates[f"{PREFIX}{slashed}.{name}.{part}"] = tensors[key]
    return adapter.eval(), updates


def _sizes(unet: UNet, tensors: dict[str, Tensor], rank: int) -> AdapterSizes:
    """Sizes of the projector, from its own shapes."""
    width, needed = len(tensors["image_proj.norm.weight"]), unet.config.cross_attention_dim
    if width != needed:
        raise InputError(
            f"the FaceID weights have {width} numbers a token and the base has {needed}: FaceID for Stable"
            " Diffusion 1.5 (768) needs a base of that class, and those for SDXL (2048) are not supported"
        )
    first, second = (tensors.get(f"image_proj.proj.{i}.weight") for i in (0, 2))
    if first is None or second is None or first.ndim != 2 or len(second) % width:
        raise InputError(
            "the FaceID weights are partial, without a whole image_proj.proj: get the file again"
        )
    return AdapterSizes(first.shape[1], len(second) // width, rank, first.shape[0])


def _check(unet: UNet, tensors: dict[str, Tensor], adapter: Adapter, layers: dict[str, Any]) -> None:
    wanted: dict[str, Shape] = {
        f"image_proj.{k}": v.shape for k, v in adapter.image_proj.state_dict().items()
    }
    ranks = [len(value) for key, value in tensors.items() if key.endswith("_lora.down.weight")]
    for index, attention in enumerate(layers.values()):
        if attention.is_cross_attention:
            for name in ("to_k", "to_v"):
                wanted[f"ip_adapter.{index}.{name}_ip.weight"] = getattr(attention, name).weight.shape
        for name in PROJECTIONS if ranks else ():
            outputs, inputs = linear_of(attention, name).weight.shape
            wanted[f"ip_adapter.{index}.{name}_lora.down.weight"] = (ranks[0], inputs)
            wanted[f"ip_adapter.{index}.{name}_lora.up.weight"] = (outputs, ranks[0])
    wrong = differences(tensors, wanted)
    if wrong:
        used = {int(m[1]) for m in (re.match(r"ip_adapter\.(\d+)\.", key) for key in tensors) if m}
        raise InputError(
            f"the FaceID weights do not fit this base ({max(used, default=-1) + 1} attention layers in the"
            f" file, {len(layers)} in the base): {summary(wrong)}; get the file again, or that of this base",
            wrong,
        )
