"""468 points of a face in three dimensions, by MediaPipe's Face Mesh network.

Yury Kartynnik, Artsiom Ablavatski, Ivan Grishchenko, Matthias Grundmann: Real-time Facial Surface Geometry
from Monocular Video on Mobile GPUs (2019, arXiv:1907.06724). Google releases the weights under Apache-2.0;
`build_face_mesh.py` makes the file that ships. The network was trained on phones' photographs of people from
all over the world, so what it says does not depend on how our own renders look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from .faces import Face

POINTS = 468
MESH_FILE = Path(__file__).resolve().parents[1] / "starter" / "face_mesh.safetensors"
# The outer corners of the eyes: they turn the crop upright.
LEFT_CORNER, RIGHT_CORNER = 33, 263

_SIDE = 192
_MARGIN = 1.5  # of the points' box
_DETECTED_MARGIN = 1.65  # of a detector's box, which ends at the brows
_LOOKS = 3  # the first from the detector's box, each other from the points before
_WIDTHS = (16, 16, 32, 32, 32, 64, 64, 64, 128, 128, 128, 128, 128, 128)
_NARROW = 32


@dataclass(frozen=True, eq=False)
class FacePoints:
    """Where the points of a face are.

    Attributes:
        points: (468, 3) float32: x right and y down in pixels of the photograph; z in the same unit, away
            from the camera, zero about the middle of the head.
        presence: The probability that the last crop showed a face.
    """

    points: NDArray[np.float32]
    presence: float


class FaceMesh(nn.Module):
    """The network: (B, 3, 192, 192) RGB from 0 to 1 -> (B, 468, 3) points in pixels of it, and (B,) logits
    of there being a face."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Stem()
        pairs = zip((_WIDTHS[0], *_WIDTHS), _WIDTHS, strict=False)
        # Every third block halves the sides: 96, 48, 24, 12, 6 pixels.
        self.trunk = nn.Sequential(*(_Block(a, b, halve=i % 3 == 2) for i, (a, b) in enumerate(pairs)))
        self.mesh = _branch(3 * POINTS, further=2)
        self.presence = _branch(1, further=0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(self.stem(images))
        return self.mesh(x).reshape(-1, POINTS, 3), self.presence(x).flatten()


class _Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.slope = nn.Conv2d(3, _WIDTHS[0], 3, 2), nn.PReLU(_WIDTHS[0])

    def forward(self, x: Tensor) -> Tensor:
        # TensorFlow's "SAME" with stride 2 pads on the right and below alone.
        return self.slope(self.conv(functional.pad(x, (0, 1, 0, 1))))


class _Block(nn.Module):
    """Residual: a depthwise and a pointwise convolution; new channels of the short cut are zero."""

    def __init__(self, before: int, after: int, *, halve: bool = False) -> None:
        super().__init__()
        self.halve, self.more = halve, after - before
        self.deep = nn.Conv2d(before, before, 3, 2 if halve else 1, 0 if halve else 1, groups=before)
        self.point, self.slope = nn.Conv2d(before, after, 1), nn.PReLU(after)

    def forward(self, x: Tensor) -> Tensor:
        found = self.point(self.deep(functional.pad(x, (0, 1, 0, 1)) if self.halve else x))
        short = functional.max_pool2d(x, 2) if self.halve else x
        return self.slope(functional.pad(short, (0, 0, 0, 0, 0, self.more)) + found)


def _branch(outputs: int, further: int) -> nn.Sequential:
    wide = _WIDTHS[-1]
    return nn.Sequential(
        _Block(wide, wide, halve=True),
        *(_Block(wide, wide) for _ in range(further)),
        nn.Conv2d(wide, _NARROW, 1),
        nn.PReLU(_NARROW),
        _Block(_NARROW, _NARROW),
        nn.Conv2d(_NARROW, outputs, 3),
    )


@dataclass(frozen=True, eq=False)
class LoadedMesh:
    """Attributes: network; mirror (468,), the point on the other side of each; mean (468, 3), a symmetric
    face seen from the front, its points' mean square distance from the origin 1."""

    network: FaceMesh
    mirror: NDArray[np.int64]
    mean: NDArray[np.float64]


@lru_cache(maxsize=1)
def load_face_mesh() -> LoadedMesh:
    """What ships."""
    from safetensors.torch import load_file

    tensors = load_file(MESH_FILE)
    mirror, mean = tensors.pop("mirror").numpy(), tensors.pop("mean").double().numpy()
    network = FaceMesh()
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return LoadedMesh(network.eval().requires_grad_(False), mirror, mean)


def aligned(points: NDArray[np.floating], to: NDArray[np.floating]) -> NDArray[np.float64]:
    """(P, 3) points moved, turned and scaled to lie nearest to others."""
    own = np.asarray(points, np.float64)
    return (own - own.mean(axis=0)) @ turned_and_scaled(own, to) + to.mean(axis=0)


def turned_and_scaled(points: NDArray[np.floating], to: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3, 3): what (P, 3) points, about their mean, are multiplied with to lie nearest to others, about
    theirs (Umeyama 1991)."""
    own, other = (np.asarray(a, np.float64) - np.mean(a, axis=0, dtype=np.float64) for a in (points, to))
    u, s, vt = np.linalg.svd(own.T @ other)
    kept = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn: NDArray[np.float64] = (u * kept @ vt) * (float(s @ kept) / float((own**2).sum()))
    return turn


def face_points(image: NDArray[np.uint8], face: Face) -> FacePoints:
    """The points of one face in an (H, W, 3) uint8 RGB photograph; some 20 ms.

    As in MediaPipe, the network looks at a square of 1.5 times the points' box, turned so that the eyes are
    level; the first time, around the detector's box. The mirror image is looked at too, and averaged.
    """
    square = around(face)
    for _ in range(_LOOKS - 1):
        square = Square.of(_look(image, square).points)
    return _look(image, square)


@dataclass(frozen=True, eq=False)
class Square:
    """A turned square of a photograph: its middle and side in pixels, its angle in radians, and how many
    `pixels` a side it is cut out with."""

    middle: NDArray[np.floating]
    side: float
    angle: float
    pixels: int = _SIDE

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> Square:
        flat = points[:, :2].astype(np.float64)
        across = flat[RIGHT_CORNER] - flat[LEFT_CORNER]
        angle = math.atan2(across[1], across[0])
        turned = flat @ _rotation(angle)  # by minus the angle
        low, high = turned.min(axis=0), turned.max(axis=0)
        return cls(_rotation(angle) @ (low + high) / 2, _MARGIN * float((high - low).max()), angle)

    @property
    def turn(self) -> NDArray[np.float64]:
        """(2, 2): from pixels of the crop to pixels of the photograph."""
        return _rotation(self.angle) * (self.side / self.pixels)

    @property
    def corner(self) -> NDArray[np.float64]:
        return self.middle - self.turn @ np.full(2, self.pixels / 2)

    def places_in(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(pixels, pixels, 2) where the crop's pixels lie in the photograph, and whether it shows them."""
        y, x = np.mgrid[: self.pixels, : self.pixels] + 0.5
        there = np.stack([x, y], axis=-1) @ self.turn.T + self.corner
        size = np.array([image.shape[1], image.shape[0]])
        return there, ((there >= 1) & (there < size - 1)).all(axis=-1)

    def cut(self, image: NDArray[np.uint8]) -> Tensor:
        """(1, 3, pixels, pixels) RGB from 0 to 1, black beyond the photograph."""
        # Pictures far larger than the crop are shrunk first: bilinear sampling would skip pixels.
        scale = max(self.side / self.pixels, 1.0)
        picture = Image.fromarray(image)
        if scale > 1:
            small = (max(round(picture.width / scale), 1), max(round(picture.height / scale), 1))
            picture = picture.resize(small, Image.Resampling.BOX)
        rows = np.concatenate([self.turn, self.corner[:, None]], axis=1)
        rows *= np.array([[picture.width / image.shape[1]], [picture.height / image.shape[0]]])
        side = (self.pixels, self.pixels)
        crop = picture.transform(side, Image.Transform.AFFINE, tuple(rows.ravel()), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 255


def around(face: Face) -> Square:
    """What the network is shown first: about a detector's box."""
    left, top, right, bottom = face.box
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    return Square(middle, _DETECTED_MARGIN * max(right - left, bottom - top), 0.0)


@torch.no_grad()
def _look(image: NDArray[np.uint8], square: Square) -> FacePoints:
    mesh = load_face_mesh()
    crop = square.cut(image)
    points, logits = mesh.network(torch.cat([crop, crop.flip(3)]))
    straight, mirrored = points.numpy().astype(np.float64)
    mirrored[:, 0] = _SIDE - mirrored[:, 0]
    both = (straight + mirrored[mesh.mirror]) / 2
    flat = both[:, :2] @ square.turn.T + square.corner
    depth = both[:, 2:] * (square.side / _SIDE)
    return FacePoints(np.concatenate([flat, depth], 1).astype(np.float32), float(logits.sigmoid().mean()))


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
