"""A dataset as training reads it: latents on disk, made once and read row by row; the rest in memory.

    encode_shards(shards, folder, vae, ...)         # NNNNN.safetensors and NNNNN.json, one pair a shard
    data = open_encoded(folder, len(shards))        # opens in no time, whatever their size

A shard is encoded whole or not at all, so a stopped run goes on where it was. Memory holds one shard
while encoding, and afterwards what is said of samples and people; latents stay memory-mapped files.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...errors import InputError
from ...job import Job
from ..base import Vae
from ..prompts import DOMAINS
from .shards import Samples, decode_pngs, read_shards
from .starts import People

SAID = ("caption", "view", "expression", "descriptor")  # of a sample, by its record
ENCODED_PIXELS = 16 * 256**2  # at once


class LatentRows:
    """(N, 4, h, w) float16 latents of one domain in files, indexed like a tensor by (B,) rows."""

    def __init__(self, files: Sequence[Path], domain: str) -> None:
        self.domain = domain
        self._files: list[Any] = [safe_open(path, framework="pt") for path in files]
        shapes = [file.get_slice(domain).get_shape() for file in self._files]
        self._ends = list(accumulate(shape[0] for shape in shapes))
        self.shape = torch.Size((self._ends[-1], *shapes[0][1:]))

    def __getitem__(self, rows: Tensor) -> Tensor:
        return torch.cat([self._row(row) for row in rows.tolist()])

    def _row(self, row: int) -> Tensor:
        place = bisect_right(self._ends, row)
        at = row - (self._ends[place - 1] if place else 0)
        return self._files[place].get_slice(self.domain)[at : at + 1]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A dataset of N samples of S people.

    Attributes:
        latents: domain -> (N, 4, h, w) float16, scaled.
        people: Who they are, and their photo-like renders.
        person: (N,) whom each sample shows: a place in `people.records`.
        said: (N,) `SAID` of each sample.
    """

    latents: Mapping[str, LatentRows]
    people: People
    person: Tensor
    said: Sequence[Mapping[str, str]]

    def identity(self) -> np.ndarray:
        """(S, P, D) float32 embeddings of each person's renders; people with fewer repeat theirs."""
        subject = self.people.subject
        counts = np.bincount(subject)
        begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
        repeated = begins[:, None] + np.arange(counts.max()) % counts[:, None]
        return self.people.embeddings[np.argsort(subject, kind="stable")[repeated]]


def encode_shards(
    shards: Sequence[str],
    folder: Path,
    vae: Vae,
    job: Job,
    *,
    image_size: int,
    dimension: int,
    share: tuple[int, int] = (0, 1),
) -> None:
    """Encode the shards that `folder` lacks, on the autoencoder's device.

    Args:
        shards: Their addresses, in order.
        folder: Takes the files.
        vae: Its posterior's mode, times its scaling factor, are the latents.
        job: Hears of every shard.
        image_size, dimension: What pixels a side and numbers an embedding have to be.
        share: Which of how many processes this one is; each encodes its part.

    Raises:
        InputError: a shard cannot be read or does not fit.
    """
    folder.mkdir(exist_ok=True)
    todo = [i for i in range(share[0], len(shards), share[1]) if not _file(folder, i).is_file()]
    for step in job.steps("latents", len(todo), message="encoding the dataset"):
        samples = read_shards([shards[todo[step]]])
        check(samples, image_size, dimension)
        _write(_file(folder, todo[step]), samples, vae)


def check(samples: Samples, image_size: int, dimension: int) -> None:
    """Raise unless images and embeddings have these sizes."""
    found = samples.identity[0].shape[1]
    if found != dimension:
        raise InputError(
            f"the dataset's embeddings have {found} numbers but the adapters want {dimension}: "
            "name the encoder that the dataset was built with (--encoder)"
        )
    if samples.image_size != image_size:
        raise InputError(
            f"the dataset's images are {samples.image_size} px and the base works on {image_size} px: "
            f"build the dataset with --image-size {image_size}"
        )


def open_encoded(folder: Path, count: int) -> Encoded:
    """What `encode_shards` made of `count` shards."""
    files = [_file(folder, i) for i in range(count)]
    place: dict[int, int] = {}
    records: list[dict[str, Any]] = []
    person: list[int] = []
    said: list[dict[str, str]] = []
    embeddings, measures, subject = [], [], []
    for file in files:
        about = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        rows = load_file(file)
        new = [r["subject"] not in place for r in about["people"]]
        for record, fresh in zip(about["people"], new, strict=True):
            if fresh:
                place[record["subject"]] = len(records)
                records.append(record)
        here = np.array([place[r["subject"]] for r in about["people"]])
        keep = np.array(new)[rows["subject"].numpy()]
        embeddings.append(rows["embeddings"].numpy()[keep])
        measures.append(rows["measures"].numpy()[keep])
        subject.append(here[rows["subject"].numpy()][keep])
        person += here[about["person"]].tolist()
        said += about["said"]
    people = People(np.concatenate(embeddings), np.concatenate(measures), np.concatenate(subject), records)
    return Encoded({d: LatentRows(files, d) for d in DOMAINS}, people, torch.tensor(person), said)


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.safetensors"


def _write(path: Path, samples: Samples, vae: Vae) -> None:
    people = People.of(samples)
    place = {record["subject"]: i for i, record in enumerate(people.records)}
    about = {
        "people": people.records,
        "person": [place[r["subject"]] for r in samples.records],
        "said": [{name: r[name] for name in SAID} for r in samples.records],
    }
    tensors = {
        "geometry": _encode(vae, samples.normals),
        "albedo": _encode(vae, samples.albedo),
        "embeddings": torch.from_numpy(people.embeddings.astype(np.float32)),
        "measures": torch.from_numpy(people.measures.astype(np.float32)),
        "subject": torch.from_numpy(people.subject.astype(np.int64)),
    }
    temporary = path.with_suffix(".tmp")
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    save_file(tensors, temporary)
    os.replace(temporary, path)


@torch.no_grad()
def _encode(vae: Vae, pngs: list[bytes]) -> Tensor:
    device = next(vae.parameters()).device
    scale = vae.config.scaling_factor
    at_once = max(ENCODED_PIXELS // decode_pngs(pngs[:1])[0, 0].numel(), 1)
    rows = [
        vae.encode(decode_pngs(pngs[i : i + at_once]).to(device) * 2 - 1).latent_dist.mode() * scale
        for i in range(0, len(pngs), at_once)
    ]
    return torch.cat(rows).half().cpu().contiguous()
