"""What a face encoder sees in every photograph that it does not see in our renders.

Embeddings of renders and of photographs differ by more than who is on them: dlib's lie 0.4 apart on
average, where two people lie 0.6 apart. A regressor or prior that knows renders alone takes that
difference for a trait, and makes photographed people old and grey. Training therefore shows every
embedding twice, as the render gave it and moved by the mean difference, as a photograph would have.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..identity.encoders import Encoder
from ..identity.photo import load_photo
from .shards import Samples

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FEWEST = 8


def photo_embeddings(folder: Path, encoder: Encoder) -> NDArray[np.float32]:
    """(N, D) embeddings of every face in a folder of photographs.

    Args:
        folder: Photographs of many different people, best of both sexes and many ages.
        encoder: Reads them.

    Raises:
        InputError: there is no such folder, it holds fewer than `FEWEST` faces, or a picture in it
            cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: name one with photographs of different people")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
    found = []
    for photo in map(load_photo, paths):
        found += [encoder.embed_face(photo, face) for face in encoder.faces(photo)]
    if len(found) < FEWEST:
        raise InputError(
            f"{folder} shows {len(found)} face(s), too few to tell photographs from renders by: "
            f"give at least {FEWEST} different people"
        )
    return np.array(found, np.float32)


def photo_gap(photos: NDArray[np.floating], samples: Samples) -> NDArray[np.float32]:
    """(D,) mean embedding of photographs, (N, D), less that of the renders of as many people."""
    people = {record["subject"]: i for i, record in enumerate(samples.records)}
    renders = np.stack([samples.identity[i].mean(axis=0) for i in people.values()])
    return (photos.mean(axis=0) - renders.mean(axis=0)).astype(np.float32)


def with_photo_gap(samples: Samples, gap: NDArray[np.floating]) -> Samples:
    """The same samples with (2 P, D) embeddings each: P of renders, P as of photographs."""
    return replace(samples, identity=[np.concatenate([rows, rows + gap]) for rows in samples.identity])
