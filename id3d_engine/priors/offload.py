"""Networks that wait in main memory, because a GPU does not hold all of them: the one in use is there.

They are frozen, so what comes to the GPU is dropped afterwards and never copied back. A gradient through
a network has its activations computed again (`tiles.recomputed`), which calls the network again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Offload:
    """Lets one of several networks at a time be on a device.

        offload = Offload([text_encoder, denoiser, vae], device)
        offload(vae).encode(images)     # it comes, and what was there goes
        offload.rest()                  # nothing is there

    Args:
        networks: Frozen, wherever they lie now.
        device: Where they work. For a GPU they wait in pinned memory, from which they come fastest.
    """

    def __init__(self, networks: Iterable[nn.Module], device: torch.device) -> None:
        self.device = device
        self.present: nn.Module | None = None
        self._waiting: dict[nn.Module, list[tuple[dict[str, Any], str, Tensor]]] = {}
        for network in networks:
            self._waiting[network] = []
            for holder, key in _tensors(network):
                # One by one, so that no second copy of all is needed.
                holder[key] = _like(holder[key], _kept(holder[key], device))
                self._waiting[network].append((holder, key, holder[key]))

    def __call__(self, network: Network) -> Network:
        """`network`, on the device."""
        if self.present is not network:
            self.rest()
            self.present = network
            try:
                for holder, key, value in self._waiting[network]:
                    holder[key] = _like(value, value.detach().to(self.device, non_blocking=True))
            except RuntimeError:  # memory ran out half-way
                self.rest()
                raise
        return network

    def rest(self) -> None:
        """Leave nothing on the device."""
        if self.present is not None:
            for holder, key, value in self._waiting[self.present]:
                holder[key] = value
            self.present = None


def _tensors(network: nn.Module) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a network's parameters and buffers are held."""
    for module in network.modules():
        for holder in (module._parameters, module._buffers):
            yield from ((holder, key) for key, value in holder.items() if value is not None)


def _kept(value: Tensor, device: torch.device) -> Tensor:
    kept = value.detach().cpu()
    return kept.pin_memory() if device.type == "cuda" else kept


def _like(value: Tensor, placed: Tensor) -> Tensor:
    return nn.Parameter(placed, requires_grad=False) if isinstance(value, nn.Parameter) else placed
