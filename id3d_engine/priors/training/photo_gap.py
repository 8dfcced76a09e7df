"""What a face encoder sees in photographs that it does not see in our renders.

Embeddings of renders and of photographs differ by more than who is on them: dlib's lie 0.4 apart on
average, where two people lie 0.6 apart, and photographs of men and women lie twice as far apart as renders
of men and women. A regressor or prior that knows renders alone takes the difference for a trait. Training
therefore shows every embedding twice, as the render gave it and as a photograph of that person would have.

The difference is measured between people of the same sex, age and ancestry. The plain difference of two
means would hold who happens to be on the photographs: from a folder of young women, it would teach that
women are what photographs of everybody look like, and make men of them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...identity.encoders import Encoder
from ...identity.measures import measure
from ...identity.photo import load_photo

PEOPLE = "people.csv"
COLUMNS = ("gender", "age", "african", "asian", "caucasian")
FEWEST = 8
# How stiff the slopes are, in photographs. Of 45 photographed people, each left out of the fit in turn, the
# sex of 64 % was told by a plain difference of means, of 87 to 89 % by values from 3 to 30.
STIFFNESS = 5.0
# Photographs of different people lie 1.45 times as far apart as renders of them. Told of renders alone, a
# regressor makes caricatures of photographs: farther from the mean head than the drawn people themselves are.
# The whole of it made heads too much alike to be told apart (docs/priors.md).
SPREAD = 1.25


@dataclass(frozen=True)
class PhotoGap:
    """What a photograph makes of a render's embedding, for a person of given attributes.

    Attributes:
        coefficients: (5, D): of a constant and the four `_design` gives.
        mean: (5, D), the same for the mean render of such people.
    """

    coefficients: NDArray[np.float64]
    mean: NDArray[np.float64]

    def at(self, attributes: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 5) attributes, as `COLUMNS` names them -> (N, D)."""
        return (_design(attributes) @ self.coefficients).astype(np.float32)

    def photographed(
        self, rows: NDArray[np.floating], attributes: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """(N, D) rows of renders of people of (N, 5) attributes -> what photographs of them would give."""
        mean = _design(attributes) @ self.mean
        return (mean + SPREAD * (rows - mean)).astype(np.float32) + self.at(attributes)


@dataclass(frozen=True, eq=False)
class Photos:
    """Photographs of N people: embeddings (N, D), measures (N, M) and attributes (N, 5), as `COLUMNS`."""

    embeddings: NDArray[np.float32]
    measures: NDArray[np.float32]
    attributes: NDArray[np.float64]


def read_photos(folder: Path, encoder: Encoder) -> Photos:
    """Photographs of many people, and who they are.

    Args:
        folder: Photographs, each of one person (of several faces the largest counts), and `people.csv`:
            columns `file`, `gender` (0 woman to 1 man), `age` in years, and the shares `african`, `asian`
            and `caucasian`. Guesses will do.
        encoder: Reads them.

    Raises:
        InputError: there is no such folder or table, a line of it cannot be used, a picture cannot be
            read, or fewer than `FEWEST` show a face.
    """
    table = folder / PEOPLE
    if not table.is_file():
        raise InputError(
            f"there is no {table}: list the photographs there, with columns file, {', '.join(COLUMNS)}"
        )
    embeddings, measures, attributes = [], [], []
    with table.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            try:
                numbers = [float(row[name]) for name in COLUMNS]
                photo = load_photo(folder / row["file"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{table} has a line that cannot be used, {dict(row)}: {error}") from error
            for face in encoder.faces(photo)[:1]:
                if (measured := measure(photo, face)) is not None:
                    embeddings.append(encoder.embed_face(photo, face))
                    measures.append(measured)
                    attributes.append(numbers)
    if len(embeddings) < FEWEST:
        raise InputError(
            f"{folder} shows {len(embeddings)} face(s), too few to tell photographs from renders by: "
            f"give at least {FEWEST} different people"
        )
    return Photos(np.array(embeddings, np.float32), np.array(measures, np.float32), np.array(attributes))


def photo_gap(
    photos: NDArray[np.floating],
    attributes: NDArray[np.floating],
    renders: NDArray[np.floating],
    of_renders: NDArray[np.floating],
) -> PhotoGap:
    """How photographs differ from renders of people like these.

    Least squares gives the mean render of people of given attributes; ridge regression how the
    photographs differ from it, again by attributes, with the constant free.

    Args:
        photos: (N, D) numbers of the photographs.
        attributes: (N, 5) of the people on them.
        renders: (S, D) numbers of renders, of every subject alike.
        of_renders: (S, 5).
    """
    mean = np.linalg.lstsq(_design(of_renders), renders, rcond=None)[0]
    here = _design(attributes)
    stiff = np.diag([0.0] + [STIFFNESS] * (here.shape[1] - 1))
    return PhotoGap(np.linalg.solve(here.T @ here + stiff, here.T @ (photos - here @ mean)), mean)


def with_photo_gap(
    embeddings: NDArray[np.float32], records: Sequence[Mapping[str, Any]], gap: PhotoGap
) -> NDArray[np.float32]:
    """(S, P, D) embeddings of renders -> (S, 2 P, D): those, and the same as of photographs."""
    _, shots, numbers = embeddings.shape
    who = np.repeat(attributes_of(records), shots, axis=0)
    moved = gap.photographed(embeddings.reshape(-1, numbers), who).reshape(embeddings.shape)
    return np.concatenate([embeddings, moved], axis=1)


def attributes_of(records: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """(N, 5) attributes of each record's subject.

    Raises:
        InputError: a record has none, as those of scans.
    """
    try:
        return np.array([[float(r["attributes"][name]) for name in COLUMNS] for r in records])
    except (KeyError, TypeError) as error:
        raise InputError(
            "this dataset does not say its subjects' gender, age and ancestry, so photographs cannot be "
            "compared with it: train without --photos"
        ) from error


def _design(attributes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 5): a constant, gender, age, and two of the three ancestries' shares, centred."""
    gender, age, african, asian, _ = np.asarray(attributes, np.float64).T
    return np.stack(
        [np.ones_like(gender), gender - 0.5, (age - 40) / 80, african - 1 / 3, asian - 1 / 3], axis=1
    )
