"""The difference between photographs and renders, on made-up embeddings and the example portrait."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from id3d_engine.errors import InputError
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.identity.measures import LENGTH
from id3d_engine.priors.training.photo_gap import (
    COLUMNS,
    FEWEST,
    SPREAD,
    photo_gap,
    read_photos,
    with_photo_gap,
)

PORTRAIT = Path(__file__).parents[3] / "examples" / "portrait.jpg"
SIZE = 16


def people(rng: np.random.Generator, count: int, men: float) -> np.ndarray:
    """(N, 5) attributes, this share of them men."""
    gender = (rng.random(count) < men).astype(float)
    shares = rng.dirichlet(np.ones(3), count)
    return np.concatenate([gender[:, None], rng.uniform(10, 80, (count, 1)), shares], axis=1)


def test_who_is_on_the_photographs_does_not_count() -> None:
    """Renders of everybody, photographs of women almost alone: the gap is the same for all."""
    rng = np.random.default_rng(0)
    trait, gap = rng.normal(size=(5, SIZE)), rng.normal(size=SIZE)
    of_renders, of_photos = people(rng, 400, 0.5), people(rng, 60, 0.1)
    renders = of_renders @ trait + 0.05 * rng.normal(size=(400, SIZE))
    photos = of_photos @ trait + gap + 0.05 * rng.normal(size=(60, SIZE))
    found = photo_gap(photos, of_photos, renders, of_renders).at(of_renders)
    assert np.abs(found - gap).max() < 0.1
    plain = photos.mean(0) - renders.mean(0)
    assert np.abs(plain - gap).max() > 0.3  # what the difference of the means would have said


def test_a_trait_that_photographs_show_more_strongly_is_learned() -> None:
    rng = np.random.default_rng(1)
    men, more = rng.normal(size=SIZE), rng.normal(size=SIZE)
    of_renders, of_photos = people(rng, 400, 0.5), people(rng, 400, 0.5)
    found = photo_gap(of_photos[:, :1] * (men + more), of_photos, of_renders[:, :1] * men, of_renders)
    man, woman = found.at(np.array([[1.0, 40, 0.3, 0.3, 0.4], [0.0, 40, 0.3, 0.3, 0.4]]))
    assert np.allclose(man - woman, more, atol=0.15 * np.abs(more).max())


def test_every_embedding_is_seen_as_render_and_as_photograph() -> None:
    rng = np.random.default_rng(2)
    who = people(rng, 20, 0.5)
    renders = rng.normal(size=(20, 2, SIZE)).astype(np.float32)
    records = [{"attributes": dict(zip(COLUMNS, row, strict=True))} for row in who]
    gap = photo_gap(rng.normal(size=(20, SIZE)), who, renders[:, 0], who)
    both = with_photo_gap(renders, records, gap)
    np.testing.assert_array_equal(both[:, :2], renders)
    moved, mean = both[:, 2:].mean(0), renders.mean(0)
    np.testing.assert_allclose(moved.mean(0) - mean.mean(0), gap.at(who).mean(0), atol=0.2)
    apart = (both[:, 3] - both[:, 2]) / (renders[:, 1] - renders[:, 0])
    np.testing.assert_allclose(apart, SPREAD, rtol=1e-3)
    with pytest.raises(InputError, match="train without --photos"):
        with_photo_gap(renders, [{"subject": 0}] * 20, gap)


def test_the_table_says_who_is_who(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(PORTRAIT.read_bytes())
    line = "one.jpg,0,35,0,0,1\n"
    table = tmp_path / "people.csv"
    table.write_text("file,gender,age,african,asian,caucasian\n" + FEWEST * line)
    photos = read_photos(tmp_path, DlibEncoder())
    assert photos.embeddings.shape == (FEWEST, 128) and photos.measures.shape == (FEWEST, LENGTH)
    assert photos.attributes.tolist() == FEWEST * [[0, 35, 0, 0, 1]]
    table.write_text("file,gender,age,african,asian,caucasian\n" + line)
    with pytest.raises(InputError, match=r"shows 1 face\(s\), too few"):
        read_photos(tmp_path, DlibEncoder())
    table.write_text("file,gender\none.jpg,0\n")
    with pytest.raises(InputError, match=r"a line that cannot be used.*'age'"):
        read_photos(tmp_path, DlibEncoder())
    table.unlink()
    with pytest.raises(InputError, match="list the photographs there, with columns file, gender, age"):
        read_photos(tmp_path, DlibEncoder())
