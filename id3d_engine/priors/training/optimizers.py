"""The optimisers that a training may name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ...errors import InputError, MissingDependency

OPTIMIZERS = ("adamw", "adamw8bit")


def make_optimizer(
    name: str, parameters: Sequence[nn.Parameter], learning_rate: float, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW, or AdamW with 8-bit moments (bitsandbytes; Dettmers et al., arXiv 2110.02861).

    Raises:
        InputError: the name is unknown.
        MissingDependency: bitsandbytes is not installed.
    """
    how: dict[str, Any] = {"lr": learning_rate, "weight_decay": 1e-3, "betas": (0.9, 0.99)}
    if name == "adamw":
        # Adapters are many small tensors: one kernel for all of them instead of some for each.
        return torch.optim.AdamW(parameters, **how, fused=device.type in ("cpu", "cuda"))
    if name != "adamw8bit":
        raise InputError(f"unknown optimizer {name!r}: choose one of {', '.join(OPTIMIZERS)}")
    try:
        import bitsandbytes
    except ImportError as error:
        raise MissingDependency(
            "adamw8bit needs bitsandbytes: pip install 'id3d-engine[train8bit]', or use --optimizer adamw"
        ) from error
    return bitsandbytes.optim.AdamW8bit(parameters, **how)
