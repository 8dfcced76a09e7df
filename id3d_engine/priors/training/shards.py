"""Reading a dataset of renders (`dataset.py` writes it), images still as PNG bytes.

A shard lies in a folder, or anywhere that the `webdataset` package opens: `https://...`, `pipe:COMMAND`.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...errors import InputError, MissingDependency


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


def read_shards(shards: Sequence[str | Path]) -> Samples:
    """Read shards into memory.

    Raises:
        InputError: there is no sample, or a shard cannot be read or is not one of this project.
        MissingDependency: as `open_shard`.
    """
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
        except OSError as error:
            raise InputError(
                f"{shard} cannot be read ({error}): check address and network, then run this again"
            ) from error
    if not samples.records:
        raise InputError("the dataset holds no sample: rebuild it with more subjects")
    return samples


def find_shards(folder: Path) -> list[Path]:
    """The shards of a dataset folder, in order; empty if there are none."""
    return sorted(folder.glob("heads-*.tar"))


def shard_addresses(dataset: str | Path) -> list[str]:
    """The shards of a folder, or of a WebDataset pattern such as `https://host/heads-{00000..00099}.tar`.

    Raises:
        InputError: there is none.
        MissingDependency: a pattern is given and `webdataset` is not installed.
    """
    if _is_address(dataset):
        expand, _ = _webdataset()
        return list(expand(str(dataset)))
    shards = [str(path) for path in find_shards(Path(dataset))]
    if not shards:
        raise InputError(f"{dataset} has no shards: run `id3d dataset` first or check the folder")
    return shards


def open_shard(shard: str | Path) -> IO[bytes]:
    """A shard's bytes, to be read from begin to end.

    Raises:
        MissingDependency: it is an address and `webdataset` is not installed.
    """
    if not _is_address(shard):
        return open(shard, "rb")
    _, gopen = _webdataset()
    return gopen(str(shard))


def _is_address(place: str | Path) -> bool:
    return isinstance(place, str) and ("://" in place or place.startswith("pipe:"))


def _webdataset() -> tuple[Callable[[str], list[str]], Callable[[str], IO[bytes]]]:
    """What lists the addresses of a pattern, and what opens one."""
    try:
        from webdataset.gopen import gopen
        from webdataset.shardlists import expand_urls
    except ImportError as error:
        raise MissingDependency(
            "shards at an address need the package webdataset: pip install 'id3d-engine[train]'"
        ) from error
    return expand_urls, gopen


def _grouped(shard: str | Path) -> Iterator[dict[str, bytes]]:
    with open_shard(shard) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
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
        # To the very end, since only there a command or server says that it failed on the way.
        while stream.read(1 << 16):
            pass


def decode_pngs(pngs: list[bytes]) -> Tensor:
    """PNG bytes -> (B, 3, S, S) float32 in [0, 1]."""
    images = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in pngs]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
