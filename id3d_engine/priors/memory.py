"""How many images a GPU takes at a time: measured with one, on the GPU as it is now.

A batch that does not fit is taken in turns, with the same result: rows of a denoiser's batch never
depend on each other, and an encoder's activations are computed again when gradients pass (Chen et
al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..errors import OutOfMemory

if TYPE_CHECKING:
    from .prior import Prior

# The rest is for renders, the network that is fitted, and what other programs take meanwhile.
SHARE = 0.75
_GB = 1e9


@dataclass(frozen=True)
class AtOnce:
    """Images that one pass takes.

    Attributes:
        encode: With gradient.
        denoise: Rows; guidance has two an image.
        decode: Without gradient.
    """

    encode: int
    denoise: int
    decode: int


ALL = AtOnce(*[1 << 30] * 3)


def fitting(prior: Prior) -> AtOnce:
    """What fits beside what lies on the prior's GPU; `ALL` on other devices, whose memory cannot be asked.

    Raises:
        OutOfMemory: not even one image fits.
    """
    if prior.device.type != "cuda":
        return ALL
    image = torch.rand(1, 3, prior.image_size, prior.image_size, device=prior.device, requires_grad=True)
    conditions = prior.conditions(None, None, "front view")
    latents, t = prior.noise(1), torch.full((1,), prior.steps // 2)

    def encode() -> None:
        prior.encode(image).sum().backward()

    works = (encode, lambda: prior.predict(latents, t, conditions), lambda: prior.decode(latents))
    try:
        needs = [peak_bytes(work, prior.device) for work in works]
    except torch.cuda.OutOfMemoryError as error:
        raise _too_little(prior.device, None) from error
    free = SHARE * free_bytes(prior.device)
    if max(needs) > free:
        raise _too_little(prior.device, max(needs) / SHARE)
    return AtOnce(*(int(free // need) for need in needs))


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that `work` allocates at its peak, on a CUDA device; it is called twice.

    The first call compiles kernels and chooses algorithms, whose workspaces are not the work's.
    """
    work()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return max(torch.cuda.max_memory_allocated(device) - before, 1)


def free_bytes(device: torch.device) -> int:
    """Bytes this process can still take, its own cache included, within its share of the GPU."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.get_per_process_memory_fraction(device) * total - torch.cuda.memory_reserved(device)
    return max(min(free, int(own)), 0)


def _too_little(device: torch.device, needed: float | None) -> OutOfMemory:
    free = free_bytes(device) / _GB
    wanted = "more" if needed is None else f"{needed / _GB:.1f} GB"
    return OutOfMemory(
        f"the GPU has {free:.1f} GB free and this prior needs {wanted} for a single image:"
        " close other programs, or use --device cpu, or the starter prior"
    )
