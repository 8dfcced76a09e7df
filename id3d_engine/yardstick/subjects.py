"""The people that are measured: authored heads that no prior was trained on, and one photo of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..assets.asset import HeadAsset
from ..assets.photo import photo_like
from ..assets.sampler import HELD_OUT_FIRST_SEED, sample_asset
from ..errors import InputError
from ..identity import Identity
from ..identity.dlib_encoder import DlibEncoder
from ..identity.faces import Face
from ..identity.identify import average, identity_of
from ..job import Job
from ..template import HeadTemplate

TRIES = 20
SEVERAL = 3


@dataclass(frozen=True, eq=False)
class Subject:
    """One person.

    Attributes:
        asset: The true head.
        photo: (H, W, 3) uint8, a photo-like render of it.
        face: Where its face is.
        person: The identity by that photo: all that a method is told,
        several: or by that and `SEVERAL` - 1 others, where a method is told more.
    """

    asset: HeadAsset
    photo: NDArray[np.uint8]
    face: Face
    person: Identity
    several: Identity


def held_out(count: int, template: HeadTemplate, encoder: DlibEncoder) -> Iterator[Subject]:
    """The first `count` held-out people; always the same."""
    for seed in range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + count):
        asset = sample_asset(template, seed, held_out=True)
        shots = list(islice(_shots(asset, template, encoder), SEVERAL))
        if len(shots) < SEVERAL:
            raise InputError(f"hardly a render of subject {seed} shows a face")
        people = [identity_of(*shot, encoder) for shot in shots]
        yield Subject(asset, *shots[0], people[0], average(people, encoder))


def _shots(
    asset: HeadAsset, template: HeadTemplate, encoder: DlibEncoder
) -> Iterator[tuple[NDArray[np.uint8], Face]]:
    """Those of some renders that show the encoder a face."""
    for attempt in range(TRIES):
        photo = photo_like(asset, template, Job(seed=asset.seed).generator("held-out", attempt))
        for face in encoder.faces(photo)[:1]:
            yield photo, face
