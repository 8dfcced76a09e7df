"""The only place that asks which device to compute on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "no", "bf16", "fp16")


def pick(name: str = "auto") -> torch.device:
    """`auto` is CUDA where torch finds a device, else the CPU; `mps`, a Mac's GPU, has to be asked for.

    Raises:
        InputError: an unknown name, or a GPU is asked for and torch finds none.
    """
    import torch

    if name not in DEVICES:
        raise InputError(f"unknown device {name!r}: choose one of {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise InputError(
            "torch finds no CUDA device: use --device cpu, or install a CUDA build of torch and its driver"
        )
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise InputError("torch finds no Apple GPU: use --device cpu, or a Mac with macOS 14 or newer")
        return torch.device("mps")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def weights_dtype(device: torch.device) -> torch.dtype:
    """What frozen weights are kept in: bfloat16 on GPUs that compute in it, float16 on others, else float32.

    bfloat16 has float32's range, so gradients through an autoencoder neither vanish nor overflow. Most
    CPUs have no matrix units for either.
    """
    import torch

    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same on a device, without waiting for the work that it has.

    From ordinary memory CUDA copies in step with that work; from pinned memory it need not.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def release() -> None:
    """Give the GPU memory, and the pinned memory, that nothing uses any more back to other programs."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        forget_workspaces()
        torch.cuda.empty_cache()
        getattr(torch._C, "_host_emptyCache", lambda: None)()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def forget_workspaces() -> None:
    """Free the memory that CUDA's matrix products keep for the next one."""
    import torch

    getattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None)()  # only CUDA builds have it


def mixed_precision(name: str = "auto") -> str:
    """accelerate's `mixed_precision` for training: `auto` is bf16 where hardware computes in it, else "no".

    On CPUs without instructions for bf16, autocast is three times slower than float32.

    Raises:
        InputError: an unknown name.
    """
    import torch

    if name not in PRECISIONS:
        raise InputError(f"unknown precision {name!r}: choose one of {', '.join(PRECISIONS)}")
    if name != "auto":
        return name
    on_gpu = torch.cuda.is_available()
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else _cpu_has_bf16()
    return "bf16" if has_bf16 else "no"


def _cpu_has_bf16() -> bool:
    import torch

    # PyTorch tells of it to its own modules alone, and not in every build.
    asks = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    return any(ask is not None and ask() for ask in asks)
