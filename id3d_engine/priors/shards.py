"""Reading a dataset of renders (`dataset.py` writes it) into memory, images still as PNG bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Samples:
    """A dataset in memory, N samples.

    Attributes:
        normals, albedo: PNG bytes of each sample.
        identity: (P, D) float32 of each sample; P may differ.
        measures: (P, M) float16 of each sample, of the same photo-like renders.
        records: the JSON of each sample.
    """

    normals: list[bytes]
    albedo: list[bytes]
    identity: list[NDArray[np.float32]]
    measures: list[NDArray[np.float16]]
    records: list[dict[str, Any]]

    @property
    def image_size(self) -> int:
        """Pixels a side of the renders."""
        return Image.open(io.BytesIO(self.normals[0])).width


def read_shards(shards: list[Path]) -> Samples:
    """Read shards into memory.

    Raises:
        InputError: there is no shard or no sample, or one is not a dataset shard of this project.
    """
    if not shards:
        raise InputError("the dataset has no shards: run `id3d dataset` first or check the folder")
    samples = Samples([], [], [], [], [])
    for shard in shards:
        try:
            for files in _grouped(shard):
                samples.normals.append(files["normals.png"])
                samples.albedo.append(files["albedo.png"])
                samples.identity.append(np.load(io.BytesIO(files["identity.npy"]), allow_pickle=False))
                samples.measures.append(np.load(io.BytesIO(files["measures.npy"]), allow_pickle=False))
                samples.records.append(json.loads(files["json"]))
        except (KeyError, tarfile.TarError, ValueError) as error:
            raise InputError(
                f"{shard} is not a dataset shard ({error}): rebuild it with `id3d dataset`"
            ) from error
    if not samples.records:
        raise InputError("the dataset holds no sample: rebuild it with more subjects")
    return samples


def find_shards(folder: Path) -> list[Path]:
    """The shards of a dataset folder, in order; empty if there are none."""
    return sorted(folder.glob("heads-*.tar"))


def _grouped(shard: Path) -> Iterator[dict[str, bytes]]:
    with tarfile.open(shard) as tar:
        key, files = "", dict[str, bytes]()
        for member in tar:
            data = tar.extractfile(member)
            if data is None:
                raise ValueError(f"{member.name} is no file")
            stem, suffix = member.name.split(".", 1)
            if stem != key and files:
                yield files
                files = {}
            key = stem
            files[suffix] = data.read()
        if files:
            yield files


def decode_pngs(pngs: list[bytes]) -> Tensor:
    """PNG bytes -> (B, 3, S, S) float32 in [0, 1]."""
    images = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in pngs]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
