"""From a dataset's photo-like renders to the start regressors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...template import load_template
from ..reading import fit_reading
from ..start import StartRegressor, fit_start
from .photo_gap import PhotoGap, Photos, attributes_of, photo_gap
from .shards import Samples

FEWEST = 8  # people with several renders each; with fewer, nothing is learned of what tells people apart


@dataclass(frozen=True, eq=False)
class People:
    """The subjects of a dataset, by their photo-like renders.

    Attributes:
        embeddings: (N, D), one row a render.
        measures: (N, M).
        subject: (N,) whose it is: a place in `records`.
        records: (S,) what the dataset says of each subject.
    """

    embeddings: NDArray[np.floating]
    measures: NDArray[np.floating]
    subject: NDArray[np.integer]
    records: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, samples: Samples) -> People:
        first = {r["subject"]: i for i, r in reversed(list(enumerate(samples.records)))}
        rows = [first[name] for name in sorted(first)]
        return cls(
            np.concatenate([samples.identity[i] for i in rows]),
            np.concatenate([samples.measures[i] for i in rows]).astype(np.float32),
            np.repeat(np.arange(len(rows)), [len(samples.identity[i]) for i in rows]),
            [samples.records[i] for i in rows],
        )

    def first(self, count: int) -> People:
        """The first so many people."""
        rows = self.subject < count
        return People(self.embeddings[rows], self.measures[rows], self.subject[rows], self.records[:count])

    @property
    def encoder(self) -> str:
        """Name of the encoder that read the renders."""
        return self.records[0].get("encoder", "dlib")

    def gap(self, rows: NDArray[np.floating], photos: Photos, of_photos: NDArray[np.floating]) -> PhotoGap:
        """How (N', D) numbers of photographs differ from (N, D) rows of the same kind.

        Raises:
            InputError: the dataset does not say who its subjects are.
        """
        means = np.stack([rows[self.subject == i].mean(axis=0) for i in range(len(self.records))])
        return photo_gap(of_photos, photos.attributes, means, attributes_of(self.records))


def train_starts(people: People, photos: Photos | None) -> list[StartRegressor]:
    """The regressor from embeddings, and the one from embeddings and measures if there are people enough."""
    if (np.bincount(people.subject) > 1).sum() < FEWEST:
        return [train_start(people, photos)]
    rows = np.concatenate([people.embeddings, people.measures], axis=1)
    reading = fit_reading(rows, people.subject, (people.embeddings.shape[1], people.measures.shape[1]))
    of_photos = None
    if photos is not None:
        of_photos = reading.of(np.concatenate([photos.embeddings, photos.measures], axis=1))
    measured = replace(_fit(people, reading.of(rows), photos, of_photos, shape_alone=True), reading=reading)
    return [train_start(people, photos), measured]


def train_start(people: People, photos: Photos | None = None, *, linear: bool = False) -> StartRegressor:
    """The regressor from embeddings alone; `linear` gives plain ridge regression."""
    of_photos = None if photos is None else photos.embeddings
    return _fit(people, people.embeddings, photos, of_photos, linear=linear)


def _fit(
    people: People,
    rows: NDArray[np.floating],
    photos: Photos | None,
    of_photos: NDArray[np.floating] | None,
    *,
    linear: bool = False,
    shape_alone: bool = False,
) -> StartRegressor:
    """Every render's row counts a second time as a photograph would have given it, if there are any."""
    template = load_template()
    face = np.sqrt(template.regions["face"])[None, :, None]
    moved = (template.basis * face).reshape(len(template.basis), -1)
    subject = people.subject
    if photos is not None and of_photos is not None:
        who = attributes_of(people.records)[subject]
        shown = people.gap(rows, photos, of_photos).photographed(rows, who)
        rows, subject = np.concatenate([rows, shown]), np.concatenate([subject, subject])
    targets = np.array([record["target"] for record in people.records])
    if shape_alone:
        targets = targets[:, : len(moved)]
    return fit_start(
        rows,
        targets[subject],
        subject,
        shape_size=len(moved),
        encoder=people.encoder,
        importance=(moved**2).sum(axis=1),  # an error of a shape coefficient weighs what it moves the face
        linear=linear,
    )
