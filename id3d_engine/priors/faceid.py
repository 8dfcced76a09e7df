"""A prior out of published weights: any SD 1.5-class base and an IP-Adapter-FaceID file.

    import_faceid(Path("normal-adapted-sd1.5"), Path("faceid.safetensors"), Path("my-prior"), "geometry")
    prior = Prior.load("my-prior", "geometry")

FaceID's layout (IP-Adapter, `tutorial_train_faceid.py`): `image_proj.*` is the identity projector;
`ip_adapter.I.*` belongs to the I-th attention layer in the order of `unet.attn_processors` (down,
up, then mid; odd I are cross-attentions), where `to_k_ip` / `to_v_ip` are the identity's keys and
values and `to_{q,k,v,out}_lora` are low-rank updates that are always on. Those are folded into the
base, so they cannot be left inactive by mistake.

Such a prior knows identity; its expression attention is untrained (zero) until it is trained on
`id3d dataset`. FaceID's weights are for non-commercial research.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError
from .adapter_files import UNET_FILE, AdapterConfig, save_adapter, sha256
from .adapters import Adapter, AdapterSizes, attention_layers
from .base import UNet, load_base, save_base
from .noise import NoiseSchedule

ENCODER = "arcface"


def import_faceid(base_folder: Path, faceid_file: Path, out: Path, domain: str) -> None:
    """Write a prior folder with the merged base and the adapter files of `domain`.

    Args:
        base_folder: A Stable Diffusion 1.x/2.x pipeline folder, HumanNorm's normal-adapted one say.
        faceid_file: A FaceID or FaceID-Portrait file in safetensors form.
        out: A new folder.
        domain: "geometry" or "albedo": what the base draws.

    Raises:
        InputError: the file is of another format or does not fit the base.
    """
    base = load_base(base_folder)
    adapter = merge_faceid(base.unet, read_faceid(faceid_file))
    save_base(base, out)
    config = AdapterConfig(
        domain,
        ENCODER,
        adapter.sizes.identity_dimension,
        base=Path(base_folder).name,
        base_sha256=sha256(out / UNET_FILE),
        identity_tokens=adapter.sizes.identity_tokens,
        projector_width=adapter.sizes.projector_width,
        rank=adapter.sizes.rank,
        resolution=base.unet.config.sample_size * 2 ** (len(base.vae.config.block_out_channels) - 1),
        prediction=NoiseSchedule.of(base.scheduler).prediction,
        expressions=(),
        training={"identity": Path(faceid_file).name},
    )
    save_adapter(adapter, config, out)


def read_faceid(path: Path) -> dict[str, Tensor]:
    """Flat tensors of a FaceID file.

    Raises:
        InputError: not safetensors, or not FaceID's keys (the Plus variants have others).
    """
    if Path(path).suffix != ".safetensors":
        raise InputError(f"{path} is not a safetensors file: convert it, pickled weights are never opened")
    tensors = load_file(path)
    if "image_proj.norm.weight" not in tensors or any("perceiver" in key for key in tensors):
        raise InputError(f"{path} is not an IP-Adapter-FaceID file: use a FaceID or FaceID-Portrait one")
    return tensors


@torch.no_grad()
def merge_faceid(unet: UNet, tensors: dict[str, Tensor]) -> Adapter:
    """Fold the low-rank updates into `unet` in place; returns an adapter with the identity weights.

    Raises:
        InputError: the weights are for another UNet.
    """
    projector = {k.removeprefix("image_proj."): v for k, v in tensors.items() if k.startswith("image_proj.")}
    hidden, dimension = projector["proj.0.weight"].shape
    tokens = projector["proj.2.weight"].shape[0] // projector["norm.weight"].shape[0]
    layers = attention_layers(unet)
    paths = list(layers)
    used = {int(m[1]) for m in (re.match(r"ip_adapter\.(\d+)\.", k) for k in tensors) if m}
    width = unet.config.cross_attention_dim
    if projector["norm.weight"].shape[0] != width or not used or max(used) >= len(paths):
        raise InputError(
            f"the FaceID weights are for {max(used, default=-1) + 1} attention layers and"
            f" {projector['norm.weight'].shape[0]} numbers a token, the base has {len(paths)} and {width}:"
            " use the file for this base"
        )
    adapter = Adapter(unet, AdapterSizes(dimension, tokens, projector_width=hidden))
    adapter.image_proj.load_state_dict(projector)
    for index, path in enumerate(paths):
        weights = {
            k.removeprefix(f"ip_adapter.{index}."): v
            for k, v in tensors.items()
            if k.startswith(f"ip_adapter.{index}.")
        }
        attention: Any = layers[path]
        branch: Any = adapter.layers[path.replace(".", "/")]
        for name in ("to_q", "to_k", "to_v", "to_out"):
            linear = attention.to_out[0] if name == "to_out" else getattr(attention, name)
            if f"{name}_lora.up.weight" in weights:
                up, down = (weights[f"{name}_lora.{part}.weight"].float() for part in ("up", "down"))
                linear.weight += (up @ down).to(linear.weight.dtype)
        if attention.is_cross_attention and "to_k_ip.weight" in weights:
            branch.to_k_id.weight.copy_(weights["to_k_ip.weight"])
            branch.to_v_id.weight.copy_(weights["to_v_ip.weight"])
    return adapter.eval()
