"""Discriminants on people whose differences are known."""

from __future__ import annotations

import numpy as np

from id3d_engine.priors.reading import DISCRIMINANTS, fit_reading


def photographs(people: int = 200, photos: int = 4, size: int = 12, seed: int = 0):
    """People differ along two directions; photographs of one person along two others, three times as much."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(7).normal(size=(size, size)))[0]
    who = np.repeat(np.arange(people), photos)
    person = rng.normal(size=(people, 2))[who] @ axes[:2]
    photo = 3 * rng.normal(size=(len(who), 2)) @ axes[2:4]
    return person + photo + 0.1 * rng.normal(size=(len(who), size)) + 5.0, who, axes


def test_what_tells_people_apart_comes_first() -> None:
    rows, who, axes = photographs()
    reading = fit_reading(rows, who, (rows.shape[1],))
    first = reading.axes[:, :2] / np.linalg.norm(reading.axes[:, :2], axis=0)
    assert np.linalg.norm(axes[:2] @ first, axis=0).min() > 0.95
    assert np.linalg.norm(axes[2:4] @ first, axis=0).max() < 0.1


def test_photographs_of_one_person_spread_by_one() -> None:
    rows, who, _ = photographs()
    read = fit_reading(rows, who, (rows.shape[1],)).of(rows)
    own = read - np.stack([read[who == i].mean(0) for i in range(who.max() + 1)])[who]
    covariance = own.T @ own / (len(own) - who.max() - 1)
    assert np.abs(np.diag(covariance)[2:4]).max() < 1.05
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.15


def test_units_do_not_matter() -> None:
    rows, who, _ = photographs()
    feet = rows * np.where(np.arange(rows.shape[1]) < 5, 3.28, 1.0)
    metres, imperial = (fit_reading(x, who, (5, 7)).of(x) for x in (rows, feet))
    np.testing.assert_allclose(np.abs(metres), np.abs(imperial), atol=1e-4)


def test_at_most_so_many_and_one_row_alone() -> None:
    rng = np.random.default_rng(0)
    rows, who = rng.normal(size=(300, 100)), np.repeat(np.arange(100), 3)
    reading = fit_reading(rows, who, (40, 60))
    assert reading.axes.shape == (100, DISCRIMINANTS)
    np.testing.assert_allclose(reading.of(rows[0]), reading.of(rows)[0])
