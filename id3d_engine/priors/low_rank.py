"""Low-rank updates of a base that belong to an adapter: kept beside it, added whenever it is loaded.

Keys are `base.PATH.to_{q,k,v,out}.{down,up}`, PATH being the UNet's own name of the attention layer
with dots written as slashes. Added to the weights themselves, they cannot be left inactive by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .adapters import attention_layers
from .base import UNet
from .layout import Shape, differences, summary

PREFIX = "base."


@torch.no_grad()
def fold(unet: UNet, updates: Mapping[str, Tensor]) -> None:
    """Add `up @ down` to the weights of the attention layers that `updates` names, in place.

    Args:
        unet: Changed unless `updates` is empty.
        updates: (rank, inputs) `down` and (outputs, rank) `up` by key.

    Raises:
        InputError: a key names no layer, has no partner, or has another shape.
    """
    layers = {path.replace(".", "/"): attention for path, attention in attention_layers(unet).items()}
    wanted: dict[str, Shape] = {}
    linears: dict[str, nn.Linear] = {}
    for stem in sorted({key.rpartition(".")[0] for key in updates}):
        path, _, name = stem.removeprefix(PREFIX).rpartition(".")
        if path not in layers:
            continue
        linear = linears[stem] = linear_of(layers[path], name)
        rank = len(updates.get(f"{stem}.down", ()))
        wanted[f"{stem}.down"] = (rank, linear.weight.shape[1])
        wanted[f"{stem}.up"] = (linear.weight.shape[0], rank)
    wrong = differences(updates, wanted)
    if wrong:
        raise InputError(
            f"the adapter's updates do not fit this base: {summary(wrong)}; use its own base", wrong
        )
    for stem, linear in linears.items():
        up, down = (updates[f"{stem}.{part}"].float() for part in ("up", "down"))
        linear.weight.copy_(linear.weight.float() + up @ down)


def linear_of(attention: Any, name: str) -> nn.Linear:
    """The linear layer `to_q`, `to_k`, `to_v` or `to_out` of an attention layer."""
    layer = getattr(attention, name)
    return layer[0] if name == "to_out" else layer
