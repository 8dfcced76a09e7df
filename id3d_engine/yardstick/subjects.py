"""The people that are measured: authored heads that no prior was trained on, and one photo of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..assets.asset import HeadAsset
from ..assets.photo import photo_like
from ..assets.sampler import HELD_OUT_FIRST_SEED, sample_asset
from ..errors import InputError
from ..identity import Identity
from ..identity.dlib_encoder import DlibEncoder
from ..identity.faces import Face
from ..identity.measures import measure
from ..job import Job
from ..template import HeadTemplate

TRIES = 20


@dataclass(frozen=True, eq=False)
class Subject:
    """One person.

    Attributes:
        asset: The true head.
        photo: (H, W, 3) uint8, a photo-like render of it.
        face: Where its face is.
        person: The identity by that photo: all that a method is told.
    """

    asset: HeadAsset
    photo: NDArray[np.uint8]
    face: Face
    person: Identity


def held_out(count: int, template: HeadTemplate, encoder: DlibEncoder) -> Iterator[Subject]:
    """The first `count` held-out people; always the same."""
    for seed in range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + count):
        yield _subject(sample_asset(template, seed, held_out=True), template, encoder)


def _subject(asset: HeadAsset, template: HeadTemplate, encoder: DlibEncoder) -> Subject:
    """With the first of some renders that shows the encoder a face."""
    for attempt in range(TRIES):
        photo = photo_like(asset, template, Job(seed=asset.seed).generator("held-out", attempt))
        for face in encoder.faces(photo)[:1]:
            person = Identity(encoder.embed_face(photo, face), encoder.name, 1, measure(photo, face))
            return Subject(asset, photo, face, person)
    raise InputError(f"no render of subject {asset.seed} shows a face")
