"""Which triangle each pixel sees: the one step of rendering that needs a native kernel."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, MissingDependency
from .scatter import scatter_visibility

BACKENDS = ("cpu", "cuda", "torch")


def visibility(clip: Tensor, triangles: Tensor, size: tuple[int, int], backend: str = "auto") -> Tensor:
    """The nearest triangle at every pixel centre, seen from both sides.

    Args:
        clip: (B, V, 4) clip coordinates (OpenGL). Not differentiated.
        triangles: (T, 3) vertex indices.
        size: (H, W) in pixels.
        backend: "cpu" (Numba), "cuda" (nvdiffrast), "torch" (any device with float64), or "auto": on a
            CUDA device cuda where nvdiffrast works and torch where it does not, elsewhere cpu.

    Returns:
        (B, H, W) int32 triangle indices on clip's device, -1 where there is none. Row 0 is the top.
        Only what lies between the near and the far plane is seen. A pixel centre on a shared edge
        belongs to exactly one of its triangles; at equal depth the lower index wins. "cpu" and "torch"
        agree in every pixel; nvdiffrast snaps vertices to sixteenths of a pixel and differs at edges.

    Raises:
        InputError: wrong shapes or an unknown backend.
        MissingDependency: "cuda" was asked for and nvdiffrast or a CUDA device is missing.
    """
    if clip.dim() != 3 or clip.shape[-1] != 4 or triangles.dim() != 2 or triangles.shape[-1] != 3:
        raise InputError(
            f"visibility needs clip (B, V, 4) and triangles (T, 3), "
            f"not {tuple(clip.shape)} and {tuple(triangles.shape)}: check what was passed"
        )
    if not len(clip) or not len(triangles):
        return torch.full((len(clip), *size), -1, dtype=torch.int32, device=clip.device)
    if backend == "auto":
        backend = _best_of(clip.device)
    if backend not in BACKENDS:
        raise InputError(f"unknown visibility backend {backend!r}: choose auto, {', '.join(BACKENDS)}")
    if backend == "cuda":
        return _visibility_cuda(clip, triangles, size)
    if triangles.min() < 0 or triangles.max() >= clip.shape[1]:
        raise InputError(f"a triangle names a vertex outside 0..{clip.shape[1] - 1}: check the mesh")
    return scatter_visibility(clip, triangles, size) if backend == "torch" else _on_cpu(clip, triangles, size)


def _on_cpu(clip: Tensor, triangles: Tensor, size: tuple[int, int]) -> Tensor:
    from .kernel import rasterize_band

    points = np.ascontiguousarray(clip.detach().cpu().numpy(), dtype=np.float64)
    faces = np.ascontiguousarray(triangles.detach().cpu().numpy(), dtype=np.int32)
    height, width = size
    batch = len(points)
    ids = np.full((batch, height, width), -1, np.int32)
    depth = np.full((batch, height, width), np.inf, np.float32)
    # Bands of rows share nothing, so threads need no locks and the result cannot depend on them.
    threads = max(1, torch.get_num_threads())
    bands = 1 if batch >= threads else -(-threads // batch)
    edges = np.linspace(0, height, bands + 1).astype(np.int64)
    work = [(b, edges[k], edges[k + 1]) for b in range(batch) for k in range(bands)]

    def run(first: int) -> None:
        for b, top, bottom in work[first::threads]:
            rasterize_band(points[b], faces, ids[b], depth[b], top, bottom)

    # Plain threads, made for this call: a pool would not survive a fork (data loader workers).
    helpers = [threading.Thread(target=run, args=(k,)) for k in range(1, min(threads, len(work)))]
    for helper in helpers:
        helper.start()
    run(0)
    for helper in helpers:
        helper.join()
    return torch.from_numpy(ids).to(clip.device)


def _best_of(device: torch.device) -> str:
    if device.type != "cuda":
        return "cpu"
    if not _nvdiffrast_installed():
        return "torch"
    try:
        _context(device)
    except _BROKEN:
        # It compiles itself at first use, which needs what many machines lack.
        return "torch"
    return "cuda"


def _nvdiffrast_installed() -> bool:
    from importlib.util import find_spec

    return find_spec("nvdiffrast") is not None


_BROKEN = (ImportError, OSError, RuntimeError)
_CONTEXTS: dict[torch.device, Any] = {}


def _context(device: torch.device) -> Any:
    """What nvdiffrast works with on a device; a failure is remembered and raised again."""
    if device not in _CONTEXTS:
        try:
            import nvdiffrast.torch as dr

            _CONTEXTS[device] = dr.RasterizeCudaContext(device=device)
        except _BROKEN as error:
            _CONTEXTS[device] = error
    if isinstance(_CONTEXTS[device], Exception):
        raise _CONTEXTS[device]
    return _CONTEXTS[device]


def forget_contexts() -> None:
    """Free what nvdiffrast keeps on GPUs between calls."""
    _CONTEXTS.clear()


def _visibility_cuda(clip: Tensor, triangles: Tensor, size: tuple[int, int]) -> Tensor:
    if not _nvdiffrast_installed():
        raise MissingDependency(
            "nvdiffrast is not installed: install it from https://github.com/NVlabs/nvdiffrast "
            "(mind its non-commercial licence), or render with the torch backend"
        )
    if not clip.is_cuda:
        raise MissingDependency(
            "the cuda backend needs tensors on a CUDA device: move them there, or use cpu"
        )
    try:
        context = _context(clip.device)
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise MissingDependency(
            f"nvdiffrast does not work here ({reason}): repair it, or render with the torch backend"
        ) from error
    import nvdiffrast.torch as dr

    points = clip.detach().float().contiguous()
    faces = triangles.to(clip.device, torch.int32).contiguous()
    out, _ = dr.rasterize(context, points, faces, resolution=list(size), grad_db=False)
    # Its row 0 is the bottom, and it counts triangles from 1.
    return out[..., 3].flip(1).to(torch.int32) - 1
