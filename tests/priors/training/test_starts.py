"""Start regressors of people whose measures say what their embeddings do not."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.assets.appearance import VECTOR_NAMES
from id3d_engine.errors import InputError
from id3d_engine.identity.measures import LENGTH
from id3d_engine.priors.training.photo_gap import COLUMNS, Photos
from id3d_engine.priors.training.shards import Samples
from id3d_engine.priors.training.starts import FEWEST, People, train_start, train_starts
from id3d_engine.template import load_template

PHOTOS = 3


def made_up(count: int, seed: int = 0, shift: float = 0.0) -> People:
    """The first shape coefficient is in the embedding, the second one in the measures alone."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 2))
    template = load_template()
    targets = np.zeros((count, len(template.basis) + len(VECTOR_NAMES)))
    targets[:, :2] = hidden
    subject = np.repeat(np.arange(count), PHOTOS)
    embeddings = 0.1 * rng.normal(size=(len(subject), 8))
    embeddings[:, 0] += hidden[subject, 0]
    measures = 0.1 * rng.normal(size=(len(subject), LENGTH))
    measures[:, ::5] += hidden[subject, 1:]
    measures += shift
    who = dict.fromkeys(COLUMNS, 0.5)
    records = [{"subject": i, "target": t, "attributes": who} for i, t in enumerate(targets)]
    return People(embeddings, measures, subject, records)


def told(regressor, people: People) -> np.ndarray:
    rows = people.embeddings
    if regressor.reading is not None:
        rows = np.concatenate([rows, people.measures], axis=1)
    return regressor.predict(rows)[:, :2]


def test_measures_add_what_embeddings_do_not_say() -> None:
    known, new = made_up(120), made_up(30, seed=1)
    true = np.array([record["target"][:2] for record in new.records])[new.subject]
    plain, measured = (told(regressor, new) for regressor in train_starts(known, None))
    errors = [np.abs(found - true).mean(axis=0) for found in (plain, measured)]
    assert errors[0][0] < 0.25 and errors[0][1] > 0.6
    assert errors[1].max() < 0.3


def test_photographs_that_are_shifted_are_read_as_well() -> None:
    """Everything in photographs lies elsewhere; some of them, of other people, tell by how much."""
    known, photographed, new = made_up(120), made_up(40, seed=2, shift=2.0), made_up(30, seed=1, shift=2.0)
    who = np.full((len(photographed.subject), 5), 0.5)
    photos = Photos(photographed.embeddings, photographed.measures, who)
    true = np.array([record["target"][:2] for record in new.records])[new.subject]
    errors = [
        np.abs(told(train_starts(known, seen)[1], new) - true).mean(axis=0)[1] for seen in (None, photos)
    ]
    assert errors[1] < 0.35 and errors[1] < 0.5 * errors[0]


def test_people_are_read_once_each() -> None:
    rows = [np.full((PHOTOS, 4), i, np.float32) for i in (7, 7, 3)]
    measures = [row.astype(np.float16) for row in rows]
    records = [{"subject": i, "target": [float(i)]} for i in (7, 7, 3)]
    people = People.of(Samples([b""] * 3, [b""] * 3, rows, measures, records))
    assert people.subject.tolist() == [0] * PHOTOS + [1] * PHOTOS
    assert people.embeddings[:, 0].tolist() == [3.0] * PHOTOS + [7.0] * PHOTOS
    assert [record["subject"] for record in people.records] == [3, 7]


def test_the_first_people_are_whole() -> None:
    people = made_up(5).first(2)
    assert len(people.records) == 2 and people.subject.tolist() == [0] * PHOTOS + [1] * PHOTOS
    assert len(people.embeddings) == len(people.measures) == 2 * PHOTOS


def test_few_people_give_the_plain_regressor_alone() -> None:
    assert len(train_starts(made_up(FEWEST - 1), None)) == 1
    assert len(train_starts(made_up(FEWEST), None)) == 2


def test_people_of_whom_nothing_is_said_have_no_gap() -> None:
    people = made_up(10)
    photos = Photos(people.embeddings, people.measures, np.full((30, 5), 0.5))
    nameless = People(people.embeddings, people.measures, people.subject, [{"target": [0.0]}] * 10)
    with pytest.raises(InputError, match="train without --photos"):
        train_start(nameless, photos)
