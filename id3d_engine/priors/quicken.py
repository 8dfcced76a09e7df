"""Other ways to compute a prior's networks, kept where they work, agree and pay.

A CUDA graph spares a GPU the waiting for Python (`cuda_graphs.py`); trying it takes a second, so it is
tried on every NVIDIA GPU. torch.compile fuses what lies between a network's matrix products; that takes
minutes at first, and a C compiler (on a GPU Triton, too), which many machines lack: it has to be asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..device import release
from .cuda_graphs import Graphed
from .memory import fit
from .prior import Prior

_WARM, _TIMED = 2, 3
_ROWS = 4  # images of a look
_PAYS = 1.05  # times faster; less may be chance
_GRAPHS_SHARE = 4  # a recording may keep a quarter of the memory that denoising could take

Ways = Mapping[str, Callable[[Any], Any]]


def quicken(
    prior: Prior,
    note: Callable[[str], None],
    *,
    compiled: bool = False,
    backend: str | Callable[..., Any] = "inductor",
) -> None:
    """Time the ways to compute denoiser and encoder of a prior that is ready to use; keep the fastest.

    Args:
        prior: Its answers stay the same up to rounding: to half of its dtype's digits, root mean square.
        note: Told what came of it, if anything was tried.
        compiled: Try torch.compile.
        backend: torch.compile's.
    """
    on_gpu = prior.device.type == "cuda"
    if prior.offload is not None or not (compiled or on_gpu):
        return  # networks that move can be neither recorded nor compiled
    rows = min(_ROWS, prior.at_once.encode, prior.at_once.denoise)
    images = torch.rand(rows, 3, prior.image_size, prior.image_size, device=prior.device)
    conditions = prior.conditions(None, None, ["front view"] * rows)
    noisy, t = prior.noise(rows), torch.full((rows,), prior.steps // 2)

    def denoised() -> Tensor:
        return prior.predict(noisy, t, conditions)[0]

    def pulled() -> Tensor:
        asked = images.clone().requires_grad_()
        return torch.autograd.grad(prior.encode(asked).sum(), asked)[0]

    compiling: Ways = {"torch.compile": lambda network: torch.compile(network, backend=backend)}
    graphs: Ways = {"a CUDA graph": lambda network: Graphed(network, rows)}
    room = prior.at_once.denoise >= _GRAPHS_SHARE * rows
    encoding: Ways = compiling if compiled else {}
    parts = (
        (prior, "denoiser", {**(graphs if on_gpu and room else {}), **encoding}, denoised),
        (prior.vae, "encoder", encoding, pulled),
    )
    told = [f"{name} {_fastest(owner, name, ways, call, prior)}" for owner, name, ways, call in parts if ways]
    if told:
        note(f"computing: {', '.join(told)}")
        release()
        _fit_again(prior, note)


def _fastest(owner: Any, attribute: str, ways: Ways, call: Callable[[], Tensor], prior: Prior) -> str:
    """Put one network's fastest way into its place; says what came of each."""
    plain, wanted = getattr(owner, attribute), call()
    plainly = _seconds(call, prior)
    best, network, kept, others = plainly / _PAYS, plain, "", []
    for name, make in ways.items():
        try:
            made = make(plain)
            setattr(owner, attribute, made)
            found, spent = call(), _seconds(call, prior)
        except Exception as error:  # whatever a compiler or driver of unknown origin may raise
            others.append(f"{name} does not work here ({' '.join(str(error).split())[:120]})")
            continue
        finally:
            setattr(owner, attribute, plain)
        if not _difference(found, wanted) <= torch.finfo(prior.dtype).eps ** 0.5:  # NaN neither
            others.append(f"{name} answers otherwise")
        elif spent > best:
            others.append(f"{name} is no faster")
        else:
            best, network, kept = spent, made, name
    setattr(owner, attribute, network)
    return f"{plainly / best:.2f} times faster by {kept}" if kept else f"as ever ({', '.join(others)})"


def _fit_again(prior: Prior, note: Callable[[str], None]) -> None:
    """Compiled networks need other memory, and a recording keeps what it needs."""
    graphed = prior.denoiser if isinstance(prior.denoiser, Graphed) else None
    if graphed is None:
        fit(prior, prior.at_once.tiles)
        return
    graphed.forget()
    graphed.note, graphed.most_rows = note, 0
    fit(prior, prior.at_once.tiles)
    taken = prior.at_once
    graphed.most_rows = taken.denoise // _GRAPHS_SHARE
    left = [max(count - count // _GRAPHS_SHARE, 1) for count in (taken.encode, taken.decode)]
    prior.at_once = replace(taken, encode=left[0], decode=left[1])


def _difference(found: Tensor, wanted: Tensor) -> float:
    """Root mean square, as a share of what is wanted."""
    return float((found - wanted).float().norm() / wanted.float().norm().clamp_min(1e-12))


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
