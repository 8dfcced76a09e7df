"""How a prior fits on a GPU: measured with one image, on the GPU as it is now.

Images that do not fit at once are taken in turns, and where one alone does not, networks take turns: with
the same result, for rows of a denoiser's batch never depend on each other, and an encoder's activations
are computed again when gradients pass (Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv
1604.06174). An autoencoder's tiles change its answers a little (`tiles.py`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ..errors import OutOfMemory
from .offload import Offload

if TYPE_CHECKING:
    from .prior import Prior

# The rest is for renders, the network that is fitted, and what other programs take meanwhile.
SHARE = 0.75
# Whether networks take turns, and tiles a side: first what gives the same answers. With more tiles, the
# gradient is no longer the whole autoencoder's.
WAYS = ((False, 1), (True, 1), (True, 2), (True, 3))
_GB = 1e9


@dataclass(frozen=True)
class AtOnce:
    """What one pass takes.

    Attributes:
        encode: Images, with gradient.
        denoise: Rows; guidance has two an image.
        decode: Images, without gradient.
        tiles: A side, in which the autoencoder sees an image.
    """

    encode: int
    denoise: int
    decode: int
    tiles: int = 1


ALL = AtOnce(1 << 30, 1 << 30, 1 << 30)


def settle(prior: Prior) -> None:
    """Lay a prior's networks on its device and choose what it takes at once.

    On a GPU it is the first of these that lets an image through: all networks there; one at a time; the
    autoencoder in tiles besides. Other devices, whose memory cannot be asked, take everything.

    Raises:
        OutOfMemory: not even one image fits.
    """
    if not _can_be_asked(prior.device):
        _lay(prior, offloaded=False)
        return
    sentence = ""
    for offloaded, tiles in WAYS:
        try:
            _lay(prior, offloaded)
            fit(prior, tiles)
            return
        except OutOfMemory as error:
            sentence = str(error)  # the error itself holds on to tensors
        except torch.cuda.OutOfMemoryError:
            sentence = _too_little(prior.device, None)
        gc.collect()
    raise OutOfMemory(sentence)


def fit(prior: Prior, tiles: int = 1) -> None:
    """Choose `prior.at_once` by what its GPU has free beside its networks; `ALL` on other devices.

    Raises:
        OutOfMemory: not even one image fits.
    """
    prior.at_once = replace(ALL, tiles=tiles)
    if not _can_be_asked(prior.device):
        return
    image = torch.rand(1, 3, prior.image_size, prior.image_size, device=prior.device, requires_grad=True)
    conditions = prior.conditions(None, None, "front view")
    latents, t = prior.noise(1), torch.full((1,), prior.steps // 2)

    def encode() -> None:
        prior.encode(image).sum().backward()

    works = (encode, lambda: prior.predict(latents, t, conditions), lambda: prior.decode(latents))
    try:
        encoded, rows, decoded = (_count(work, prior.device) for work in works)
    except torch.cuda.OutOfMemoryError as error:
        raise OutOfMemory(_too_little(prior.device, None)) from error
    prior.at_once = AtOnce(encoded, rows, decoded, tiles)


def frugality(prior: Prior) -> str:
    """A sentence on what a prior does for want of memory; empty if nothing."""
    tiles, ways = prior.at_once.tiles, []
    if tiles > 1:
        ways.append(f"its autoencoder sees images in {tiles} x {tiles} tiles")
    if prior.offload is not None:
        ways.append("its networks take turns on the GPU")
    return f"to fit this GPU the {prior.domain} prior is slower: {' and '.join(ways)}" if ways else ""


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """Bytes that `work` allocates at its peak, on a CUDA device; it is called twice.

    The first call compiles kernels and chooses algorithms, whose workspaces are not the work's, and brings
    a network that was offloaded.
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


def _can_be_asked(device: torch.device) -> bool:
    return device.type == "cuda"


def _lay(prior: Prior, offloaded: bool) -> None:
    if offloaded:
        prior.offload = prior.offload or Offload(prior.networks, prior.device)
    else:
        for network in prior.networks:
            torch.nn.Module.to(network, prior.device)


def _count(work: Callable[[], object], device: torch.device) -> int:
    """How many images `work`, that takes one, could take."""
    need, free = peak_bytes(work, device), SHARE * free_bytes(device)
    if need > free:
        raise OutOfMemory(_too_little(device, need / SHARE))
    return int(free // need)


def _too_little(device: torch.device, needed: float | None) -> str:
    free = free_bytes(device) / _GB
    wanted = "more" if needed is None else f"{needed / _GB:.1f} GB"
    return (
        f"the GPU has {free:.1f} GB free and this prior needs {wanted} for a single image:"
        " close other programs, or use --device cpu, or the starter prior"
    )
