"""Spectacle frames for photo-like pictures: two rims, a bridge, temples that end behind the ears."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..template import HeadTemplate

Float = NDArray[np.float32]

_AROUND = 6  # points around a wire
_RIM = 40  # points along a rim
_BEFORE_EYE_M = 0.011  # from the cornea to the lenses' plane
_FROM_MIDDLE_M = 0.008  # a rim's least distance from the middle line


@dataclass(frozen=True)
class Frame:
    """A model of spectacles.

    Attributes:
        width, height: Half of a rim's, metres.
        squareness: Exponent of the rim's superellipse: 2 is round, 4 nearly a rectangle.
        rim: Radius of the rims' wire, metres; bridge and temples are a little thicker.
    """

    width: float
    height: float
    squareness: float
    rim: float

    @classmethod
    def drawn(cls, shares: NDArray[np.floating]) -> Frame:
        """From (4,) numbers in [0, 1]: half are of thin metal, half of plastic."""
        plastic = max(0.0, 2 * float(shares[3]) - 1)
        return cls(
            width=0.022 + 0.007 * float(shares[0]),
            height=0.0145 + 0.0085 * float(shares[1]),
            squareness=2.0 + 2.0 * float(shares[2]),
            rim=0.0006 + 0.0016 * plastic,
        )


def spectacles(template: HeadTemplate, head: Float, frame: Frame) -> tuple[Float, NDArray[np.int64]]:
    """Frames on a head.

    Args:
        template: The head's topology.
        head: (V, 3), metres.
        frame: The model.

    Returns:
        (G, 3) vertices and (T, 3) triangles among them.
    """
    x = template.vertices[:, 0]
    eyes, ears = (
        [head[(template.regions[name] > 0.5) & (x * side > 0)] for side in (1, -1)]
        for name in ("eyeballs", "ears")
    )
    # As wide as the face: children's spectacles are small.
    scale = float(eyes[0][:, 0].mean() - eyes[1][:, 0].mean()) / 0.064
    height, wire = frame.height * scale, frame.rim
    plane = min(eyes[0][:, 1].min(), eyes[1][:, 1].min()) - _BEFORE_EYE_M
    plane = min(plane, float(head[template.landmarks["nose_bridge"], 1]) - 0.002)
    turn = 2 * np.pi * np.arange(_RIM) / _RIM
    wires: list[tuple[Float, float, bool]] = []
    inner = []
    for eye, ear, side in zip(eyes, ears, (1.0, -1.0), strict=True):
        middle, z = float(eye[:, 0].mean()), float(eye[:, 2].mean()) - 0.15 * height
        width = min(frame.width * scale, abs(middle) - _FROM_MIDDLE_M)
        power = 2 / frame.squareness
        across = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power
        up = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power
        # Lenses curve a little around the face.
        bent = plane + 0.003 * np.clip(across * side, 0, 1) ** 2
        wires.append((np.column_stack([middle + width * across, bent, z + height * up]), wire, True))
        inner.append((middle - side * width, plane, z + 0.25 * height))
        hinge = np.array([middle + side * (width + wire), plane + 0.003, z + 0.45 * height])
        # Over the ear's root, where it meets the skull, then down behind it.
        upper = ear[ear[:, 2] > ear[:, 2].max() - 0.012]
        root = float(np.abs(upper[:, 0]).min()) + 0.002
        over = np.array([side * root, float(upper[:, 1].mean()), float(ear[:, 2].max()) - 0.006])
        behind = over + np.array([-0.004 * side, 0.016, -0.03])
        corner = hinge + np.array([0.001 * side, 0.006, 0.0])
        wires.append((np.stack([hinge, corner, over, behind]), 1.3 * wire + 0.0004, False))
    left, right = (np.array(end) for end in inner)
    share = np.linspace(0, 1, 9)[:, None]
    arch = left + (right - left) * share + np.array([0, -0.001, 0.004]) * np.sin(np.pi * share)
    wires.append((arch, 1.2 * wire, False))
    vertices, triangles, count = [], [], 0
    for path, radius, closed in wires:
        v, t = _tube(path, radius, closed)
        vertices.append(v)
        triangles.append(t + count)
        count += len(v)
    return np.concatenate(vertices).astype(np.float32), np.concatenate(triangles)


def _tube(path: NDArray[np.floating], radius: float, closed: bool) -> tuple[Float, NDArray[np.int64]]:
    """(N * K, 3) vertices and triangles around a path (N, 3)."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    first = np.cross(ahead, (0.1, 1.0, 0.2) if closed else (0.0, 0.3, 1.0))
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(ahead, first)
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    ring = first[:, None] * np.cos(angle)[:, None] + second[:, None] * np.sin(angle)[:, None]
    vertices = (path[:, None] + radius * ring).reshape(-1, 3)
    count, last = len(path), len(path) if closed else len(path) - 1
    i, k = np.meshgrid(np.arange(last), np.arange(_AROUND), indexing="ij")
    a, b = i * _AROUND + k, i * _AROUND + (k + 1) % _AROUND
    c, d = (i + 1) % count * _AROUND + k, (i + 1) % count * _AROUND + (k + 1) % _AROUND
    quads = np.stack([a, b, d, c], axis=-1).reshape(-1, 4)
    return vertices.astype(np.float32), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
