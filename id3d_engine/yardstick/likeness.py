"""Pictures of heads before face recognisers. dlib's guides the method; a second one judges.

The second is HSE-FaceRes (A. Savchenko, Apache-2.0): a MobileNet trained on another face set for identity,
age and sex, as the npm package @vladmandic/human carries it (`models/faceres.json` and `.bin`). It is not
part of ID3D and is read from where the user has put it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ..errors import InputError
from ..head import Head
from ..identity.dlib_encoder import DlibEncoder
from ..identity.faces import Face
from ..portrait import Sitter
from ..render.lights import preset

AZIMUTHS_DEG = (-15.0, 0.0, 15.0)
PICTURE_PX = 256
_SIDE = 224
_REACH, _RAISED = 0.65, 0.1  # of the box's width around its middle, and of its height above it
_MEAN = torch.tensor([103.94, 116.78, 123.68]).reshape(1, 3, 1, 1)  # blue, green, red


_PAIRWISE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Mul": torch.mul,
    "Minimum": torch.minimum,
    "Maximum": torch.maximum,
}
_SIMPLE: dict[str, Callable[[Tensor], Tensor]] = {"Relu": torch.relu, "Sigmoid": torch.sigmoid}


@dataclass(frozen=True)
class Impression:
    """What the second recogniser sees in one face: (1024,) unit vector, male from 0 to 1, age in years."""

    descriptor: NDArray[np.float32]
    male: float
    age: float


class FaceRes:
    """The second recogniser, from a TensorFlow.js graph model.

    Args:
        path: `faceres.json`, with its weights beside it.

    Raises:
        InputError: the file is missing, or is no such model.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(
                f"there is no {path}: take models/faceres.json and faceres.bin from the npm package "
                "@vladmandic/human"
            )
        try:
            model = json.loads(path.read_text(encoding="utf-8"))
            self._weights = _weights(path.parent, model["weightsManifest"])
            nodes = model["modelTopology"]["node"]
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} is no TensorFlow.js graph model ({error}): copy both files again"
            ) from error
        self._nodes = [node for node in nodes if node["op"] not in ("Const", "Placeholder")]

    @torch.no_grad()
    def look(self, image: NDArray[np.uint8], face: Face) -> Impression:
        """One face of an (H, W, 3) uint8 RGB picture; the mirror image is averaged in."""
        left, top, right, bottom = face.box
        x, y = (left + right) / 2, (top + bottom) / 2 - _RAISED * (bottom - top)
        reach = _REACH * max(right - left, bottom - top)
        box = (x - reach, y - reach, x + reach, y + reach)
        crop = Image.fromarray(image).resize(
            (_SIDE, _SIDE), Image.Resampling.BILINEAR, box=_inside(box, image)
        )
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float().flip(1) - _MEAN
        found = self._run(torch.cat([pixels, pixels.flip(3)]))
        descriptor = functional.normalize(found["global_pooling/Mean"].sum(0), dim=0)
        ages = found["age_pred/Softmax"].mean(0)
        return Impression(
            descriptor.numpy(),
            float(found["gender_pred/Sigmoid"].mean()),
            float((ages * torch.arange(len(ages))).sum()),
        )

    def _run(self, pixels: Tensor) -> dict[str, Tensor]:
        known: dict[str, Tensor] = {"input_1": pixels}
        for node in self._nodes:
            a, *rest = (known[name] if name in known else self._weights[name] for name in node["input"])
            known[node["name"]] = _apply(node, a, rest)
        return known


def _apply(node: Mapping[str, Any], a: Tensor, rest: Sequence[Tensor]) -> Tensor:
    kind = node["op"]
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        (kernel,) = rest
        deep = kind == "DepthwiseConv2dNative"
        kernel = kernel.permute(2, 3, 0, 1) if deep else kernel.permute(3, 2, 0, 1)
        stride, side = int(node["attr"]["strides"]["list"]["i"][1]), a.shape[-1]
        missing = max((-(-side // stride) - 1) * stride + kernel.shape[-1] - side, 0)  # TensorFlow's "SAME"
        before = missing // 2
        a = functional.pad(a, (before, missing - before) * 2)
        return functional.conv2d(a, kernel, stride=stride, groups=len(kernel) if deep else 1)
    if kind == "_FusedMatMul":
        product = a @ rest[0] + rest[1]
        return product.relu() if node["name"].endswith("Relu") else product
    if kind in _PAIRWISE:
        return _PAIRWISE[kind](a, rest[0].reshape(1, -1, 1, 1))
    if kind in _SIMPLE:
        return _SIMPLE[kind](a)
    if kind == "Mean":
        return a.mean((2, 3))
    if kind == "Softmax":
        return a.softmax(-1)
    raise InputError(f"the second recogniser's file has a layer {kind}: use that of @vladmandic/human 3.3")


def _weights(folder: Path, manifest: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    found = {}
    for group in manifest:
        data, at = b"".join((folder / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            packed = entry.get("quantization", {})
            values = np.frombuffer(
                data, np.dtype(packed.get("dtype", entry["dtype"])), int(np.prod(entry["shape"])), at
            )
            at += values.nbytes
            numbers = values.astype(np.float32) * packed.get("scale", 1.0) + packed.get("min", 0.0)
            found[entry["name"]] = torch.from_numpy(numbers.astype(np.float32).reshape(entry["shape"]))
    return found


def _inside(box: tuple[float, ...], image: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    height, width = image.shape[:2]
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height))


def pictures(head: Head, expression: str = "neutral") -> NDArray[np.uint8]:
    """(3, H, W, 3): the head from the front and from both sides of it, under even light."""
    return Sitter(head).shaded(expression, AZIMUTHS_DEG, preset("studio"), PICTURE_PX)


def embedded(shots: NDArray[np.uint8], encoder: DlibEncoder) -> NDArray[np.float32] | None:
    """Mean embedding of those pictures that show the guide a face; None if none does."""
    found = [encoder.embed_face(shot, face) for shot in shots for face in encoder.faces(shot)[:1]]
    return np.mean(found, axis=0) if found else None


def seen(shots: NDArray[np.uint8], encoder: DlibEncoder, judge: FaceRes) -> Impression | None:
    """What the judge sees in the first picture that shows a face, of the front one at best."""
    for shot in (shots[len(shots) // 2], *shots):
        for face in encoder.faces(shot)[:1]:
            return judge.look(shot, face)
    return None


def places(heads: NDArray[np.floating], people: NDArray[np.floating]) -> list[dict[str, float]]:
    """(N, D) of the heads' pictures and of the people's photographs, in the same order, to one row a head.

    `rank1`: 1 if the nearest photograph is its own, else 0. `rank1_centred`: the same with each set's mean
    taken away, as pictures differ from photographs by more than who is on them. `own`, `others`: the distance
    to its own photograph, and the mean one to the others. One whose pictures show no face (nan) ranks last.
    """
    middle = np.nanmean(heads, axis=0)
    apart = np.linalg.norm(heads[:, None] - people[None], axis=2)
    centred = np.linalg.norm((heads - middle)[:, None] - (people - people.mean(0))[None], axis=2)
    count, visible = len(heads), ~np.isnan(heads[:, 0])
    return [
        {
            "rank1": float(visible[k] and apart[k].argmin() == k),
            "rank1_centred": float(visible[k] and centred[k].argmin() == k),
            "own": float(apart[k, k]),
            "others": float((apart[k].sum() - apart[k, k]) / (count - 1)),
        }
        for k in range(count)
    ]
