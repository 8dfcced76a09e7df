"""Where the person is in a photograph, hair and all, by MediaPipe's Selfie Segmentation network.

Google releases the weights under Apache-2.0; `build_silhouette.py` makes the file that ships. The network is
a MobileNetV3 (Howard et al. 2019, arXiv:1905.02244) with a decoder whose skips are gated.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

SILHOUETTE_FILE = Path(__file__).resolve().parents[1] / "starter" / "silhouette.safetensors"
SIDE = 256


class PersonNetwork(nn.Module):
    """The network: (B, 3, 256, 256) RGB from 0 to 1 -> (B, 256, 256) probability of the person.

    Layers are made in the order in which the released file numbers its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2)
        self.first = _Block(16, 16, 16, 3, gate=8, halve=True)
        self.second = nn.Sequential(_Block(16, 72, 24, 3, halve=True), _Block(24, 88, 24, 3))
        self.third = nn.Sequential(
            _Block(24, 96, 32, 5, gate=24, halve=True, soft=True),
            *(_Block(32, 128, 32, 5, gate=32, soft=True) for _ in range(2)),
            *(_Block(32, 96, 32, 5, gate=24, soft=True) for _ in range(2)),
        )
        self.wide, self.weigh = nn.Conv2d(32, 128, 1), nn.Conv2d(32, 128, 1)
        self.up = nn.ModuleList([_Up(128, 24), _Up(24, 16), _Up(16, 16)])
        self.last = nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, images: Tensor) -> Tensor:
        fine = functional.hardswish(self.stem(_padded(images, 3)))
        middle = self.first(fine)
        coarse = self.second(middle)
        x = self.third(coarse)
        x = functional.relu(self.wide(x)) * self.weigh(_mean(x)).sigmoid()
        for up, skip in zip(self.up, (coarse, middle, fine), strict=True):
            x = up(x, skip)
        return self.last(x).sigmoid()[:, 0]


class _Block(nn.Module):
    """Widened, a depthwise convolution, gated, narrowed; what keeps its shape is added to itself."""

    def __init__(
        self,
        before: int,
        wide: int,
        after: int,
        kernel: int,
        *,
        gate: int = 0,
        halve: bool = False,
        soft: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.halve, self.add = kernel, halve, before == after and not halve
        self.bend = functional.hardswish if soft else functional.relu
        self.widen = nn.Conv2d(before, wide, 1)
        pad = 0 if halve else kernel // 2
        self.deep = nn.Conv2d(wide, wide, kernel, 2 if halve else 1, pad, groups=wide)
        self.gate = _Gate(wide, gate) if gate else None
        self.narrow = nn.Conv2d(wide, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = self.bend(self.widen(x))
        found = self.bend(self.deep(_padded(found, self.kernel) if self.halve else found))
        if self.gate is not None:
            found = found * self.gate(found)
        found = self.narrow(found)
        return x + found if self.add else found


class _Gate(nn.Module):
    """How much of each channel is let through, from all channels' means."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Conv2d(channels, narrow, 1), nn.Conv2d(narrow, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.widen(functional.relu(self.narrow(_mean(x)))).sigmoid()


class _Up(nn.Module):
    """Twice the sides, with what the encoder saw at that size."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.narrow, self.gate = nn.Conv2d(before, after, 1), _Gate(after, after)
        self.point, self.deep = nn.Conv2d(after, after, 1), nn.Conv2d(after, after, 3, 1, 1, groups=after)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.narrow(functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
        x = functional.relu(self.point(skip * self.gate(skip + x) + x))
        return x + functional.relu(self.deep(x))


def _padded(x: Tensor, kernel: int) -> Tensor:
    # TensorFlow's "SAME" with stride 2 and even sides pads one less on the left and above.
    low, high = (kernel - 2) // 2, (kernel - 1) // 2
    return functional.pad(x, (low, high, low, high))


def _mean(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


@lru_cache(maxsize=1)
def load_person_network() -> PersonNetwork:
    """What ships."""
    from safetensors.torch import load_file

    network = PersonNetwork()
    network.load_state_dict({name: value.float() for name, value in load_file(SILHOUETTE_FILE).items()})
    return network.eval().requires_grad_(False)


@torch.no_grad()
def person_in(images: Tensor) -> Tensor:
    """(B, 3, 256, 256) RGB from 0 to 1 -> (B, 256, 256) probability of the person; some 20 ms an image."""
    found: Tensor = load_person_network()(images)
    return found
