"""The only place that asks which device to compute on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")


def pick(name: str = "auto") -> torch.device:
    """`auto` is CUDA where torch finds a device, else the CPU.

    Raises:
        InputError: an unknown name, or CUDA is asked for and torch finds none.
    """
    import torch

    if name not in DEVICES:
        raise InputError(f"unknown device {name!r}: choose one of {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError(
            "torch finds no CUDA device: use --device cpu, or install a CUDA build of torch and its driver"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")
