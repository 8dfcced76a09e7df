"""torch.compile for a prior's networks, kept where it works and pays.

It fuses what lies between a network's matrix products. That takes minutes at first, and a C compiler (on a
GPU Triton, too), which many machines lack; so both ways are timed, and the faster one stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from .memory import fit
from .prior import Prior

_WARM, _TIMED = 2, 3
_ROWS = 4  # images of a look


def quicken(
    prior: Prior, note: Callable[[str], None], backend: str | Callable[..., Any] = "inductor"
) -> None:
    """Compile denoiser and encoder of a prior that is ready to use.

    Args:
        prior: Its answers stay the same up to rounding.
        note: Told what came of it.
        backend: torch.compile's.
    """
    rows = min(_ROWS, prior.at_once.encode, prior.at_once.denoise)
    images = torch.rand(rows, 3, prior.image_size, prior.image_size, device=prior.device)
    conditions = prior.conditions(None, None, ["front view"] * rows)
    noisy, t = prior.noise(rows), torch.full((rows,), prior.steps // 2)

    def encode() -> None:
        prior.encode(images.clone().requires_grad_()).sum().backward()

    parts = (
        (prior, "denoiser", lambda: prior.predict(noisy, t, conditions)),
        (prior.vae, "encoder", encode),
    )
    told = [f"{name} {_faster(owner, name, call, prior, backend)}" for owner, name, call in parts]
    note(f"torch.compile: {', '.join(told)}")
    fit(prior, prior.at_once.tiles)


def _faster(owner: Any, attribute: str, call: Callable[[], object], prior: Prior, backend: Any) -> str:
    """Compile one network in its place, or leave it; says what came of it."""
    eager, before = getattr(owner, attribute), _seconds(call, prior)
    try:
        setattr(owner, attribute, torch.compile(eager, backend=backend))
        after = _seconds(call, prior)
    except Exception as error:  # whatever a compiler of unknown origin may raise
        setattr(owner, attribute, eager)
        reason = " ".join(str(error).split())[:120]
        return f"stays as it is, for it does not compile here ({reason})"
    if after >= before:
        setattr(owner, attribute, eager)
        return "stays as it is, for compiled it is no faster"
    return f"{before / after:.2f} times faster"


def _seconds(call: Callable[[], object], prior: Prior) -> float:
    """Of one call, the shortest of some."""
    spent = []
    for _ in range(_WARM + _TIMED):
        began = time.perf_counter()
        call()
        if prior.device.type == "cuda":
            torch.cuda.synchronize(prior.device)
        spent.append(time.perf_counter() - began)
    return min(spent[_WARM:])
