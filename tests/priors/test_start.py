from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from id3d_engine.assets.appearance import HAIR_STYLES, VECTOR_NAMES, AppearanceParameters
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.errors import InputError
from id3d_engine.haired import raised
from id3d_engine.identity import Identity
from id3d_engine.priors.reading import Reading
from id3d_engine.priors.start import (
    MEASURED_FILE,
    START_FILE,
    StartRegressor,
    fit_start,
    kernel,
    load_start,
    save_start,
    start_of,
)
from id3d_engine.template import load_template

LINEAR, GAUSSIAN = True, False


def people(noise: float, count: int = 80, photos: int = 1, seed: int = 0):
    """Embeddings, three targets that are linear in them (and noise), and who is who."""
    random = np.random.default_rng(seed)
    x = np.repeat(random.normal(size=(count, 6)) * 0.3 + 0.5, photos, axis=0)
    x = x.astype(np.float16).astype(float)  # as fits round them
    truth = np.random.default_rng(99).normal(size=(6, 3))
    y = (x - 0.5) @ truth + np.array([5.0, -1.0, 0.0]) + noise * random.normal(size=(len(x), 3))
    return x, y, np.repeat(np.arange(count), photos)


def penalty_of(found: StartRegressor, x: np.ndarray, y: np.ndarray) -> float:
    """Which penalty the fit has chosen, read off the normal equations (K + p I) w = y."""
    w, centred = found.weights.astype(np.float64), y - y.mean(0)
    return float(((centred - kernel(x, x, found.gamma) @ w) * w).sum() / (w * w).sum())


def test_linear_fits_are_textbook_ridge() -> None:
    x, y, who = people(0.5)
    found = fit_start(x, y, who, shape_size=3, encoder="dlib", linear=LINEAR)
    penalty, centred = penalty_of(found, x, y), x - x.mean(0)
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(6), centred.T @ (y - y.mean(0)))
    new = people(0.5, seed=1)[0]
    assert np.allclose(found.predict(new), (new - x.mean(0)) @ weights + y.mean(0), atol=1e-4)
    assert penalty > 0 and found.gamma == 0


def test_gaussian_fits_solve_their_equations() -> None:
    x, y, who = people(0.5)
    found = fit_start(x, y, who, shape_size=3, encoder="dlib")
    penalty = penalty_of(found, x, y)
    squares = ((x[:, None] - x[None]) ** 2).sum(2)
    weights = np.linalg.solve(np.exp(-found.gamma * squares) + penalty * np.eye(len(x)), y - y.mean(0))
    new = people(0.5, seed=1)[0]
    among = np.exp(-found.gamma * ((new[:, None] - x[None]) ** 2).sum(2))
    assert np.allclose(found.predict(new), among @ weights + y.mean(0), atol=1e-3)
    assert found.predict(new[0]).shape == (3,)
    assert np.allclose(found.predict(new)[0], found.predict(new[0]), atol=1e-5)


@pytest.mark.parametrize("linear", [LINEAR, GAUSSIAN])
def test_noise_is_shrunk_away_and_signal_is_kept(linear: bool) -> None:
    new, known, _ = people(0.0, seed=1)
    x, y, who = people(0.0)
    clean = fit_start(x, y, who, shape_size=3, encoder="dlib", linear=linear)
    # Nothing to find out: the best guess is everybody's mean.
    pure = np.random.default_rng(5).normal(size=y.shape)
    nothing = fit_start(x, pure, who, shape_size=3, encoder="dlib", linear=linear)
    spread = known.std(0).mean()
    assert np.abs(clean.predict(new) - known).mean() < 0.15 * spread
    assert nothing.predict(new).std(0).mean() < 0.2 * pure.std(0).mean()
    assert penalty_of(nothing, x, pure) > 30 * penalty_of(clean, x, y)


def test_a_persons_other_photos_do_not_help_the_choice() -> None:
    """With each photo twice, leaving out photos instead of people would reward learning by heart."""
    x, _, who = people(0.0, count=40, photos=2)
    pure = np.repeat(np.random.default_rng(5).normal(size=(40, 3)), 2, axis=0)
    found = fit_start(x, pure, who, shape_size=3, encoder="dlib")
    leaking = fit_start(x, pure, np.random.default_rng(0).permutation(80), shape_size=3, encoder="dlib")
    assert np.abs(found.weights).max() < 0.5 * np.abs(leaking.weights).max()


def test_the_choice_is_for_what_is_important() -> None:
    x, y, who = people(0.0)
    y[:, 1] = np.random.default_rng(5).normal(size=len(x)) * 20
    penalties = [
        penalty_of(
            fit_start(x, y, who, shape_size=3, encoder="dlib", importance=np.array(i), linear=LINEAR), x, y
        )
        for i in ([1.0, 0, 0], [0, 1.0, 0])
    ]
    assert penalties[0] < 0.1 * penalties[1]


def test_a_bent_relation_needs_the_kernel() -> None:
    x, _, who = people(0.0, count=200)
    new = people(0.0, seed=1)[0]

    def bent(embedding):
        return np.sin(3 * embedding[:, :1] + 2 * embedding[:, 1:2])

    errors = [
        np.abs(
            fit_start(x, bent(x), who, shape_size=1, encoder="dlib", linear=linear).predict(new) - bent(new)
        ).mean()
        for linear in (GAUSSIAN, LINEAR)
    ]
    assert errors[0] < 0.5 * errors[1]


def test_one_person_is_enough_to_go_on() -> None:
    x, y, who = people(0.1, count=1, photos=3)
    found = fit_start(x, y, who, shape_size=2, encoder="dlib")
    assert np.isfinite(found.predict(x)).all()
    assert np.abs(found.predict(x) - y.mean(0)).max() < np.abs(y - y.mean(0)).max()


@pytest.fixture(scope="module")
def known():
    """A regressor that knows six heads exactly, their embeddings, and the heads."""
    template = load_template()
    assets = [sample_asset(template, seed) for seed in range(6)]
    targets = np.stack([np.concatenate([a.shape, a.appearance.to_vector()]) for a in assets])
    embeddings = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    gram = kernel(embeddings.astype(float), embeddings.astype(float), 0.5)
    weights = np.linalg.solve(gram, targets - targets.mean(0)).astype(np.float32)
    bias = targets.mean(0).astype(np.float32)
    same = np.linspace(-50, 50, 3, dtype=np.float32)[:, None].repeat(len(VECTOR_NAMES) - len(HAIR_STYLES), 1)
    regressor = StartRegressor(embeddings, weights, bias, same, same, 0.5, 0.5, len(template.basis), "dlib")
    return regressor, embeddings, assets


def test_a_saved_start_is_the_same_start(known, tmp_path: Path) -> None:
    regressor, embeddings, _ = known
    save_start(regressor, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [START_FILE]
    loaded = load_start(tmp_path)
    for name in ("gamma", "look_gamma", "shape_size", "encoder"):
        assert getattr(loaded, name) == getattr(regressor, name)
    # The support is kept in half precision, which it was rounded to before the fit; the rest in single.
    assert np.array_equal(loaded.weights, regressor.weights)
    assert np.allclose(loaded.predict(embeddings), regressor.predict(embeddings), atol=0.02)
    first = (tmp_path / START_FILE).read_bytes()
    save_start(regressor, tmp_path)
    assert (tmp_path / START_FILE).read_bytes() == first


def test_a_known_person_starts_as_their_own_head(known, tmp_path: Path) -> None:
    regressor, embeddings, assets = known
    template = load_template()
    save_start(regressor, tmp_path)
    start = start_of(tmp_path, Identity(embeddings[2]), template)
    neutral = raised(start, template, hanging=True)
    assert start.skin.dtype == neutral.dtype == np.float32
    assert np.abs(start.skin - assets[2].skin).max() < 1e-3
    assert start.appearance.style == assets[2].appearance.style
    hair = np.linalg.norm(neutral - start.skin, axis=1)
    own = np.linalg.norm(assets[2].neutral - assets[2].skin, axis=1)
    assert np.abs(hair - own).mean() < 1e-3


def test_measures_count_half_where_the_person_has_them(known, tmp_path: Path) -> None:
    """Two regressors in one folder: one that knows embeddings, one that reads the measures instead."""
    regressor, embeddings, assets = known
    template = load_template()
    axes = np.concatenate([np.zeros((8, 8)), np.eye(8)]).astype(np.float32)
    middle = np.full(16, 0.25, np.float32)
    reading = Reading(middle, axes)
    save_start(regressor, tmp_path)
    save_start(replace(regressor, support=embeddings - 0.25, reading=reading), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([START_FILE, MEASURED_FILE])
    person = Identity(embeddings[2], measures=embeddings[4])
    measured = start_of(tmp_path, person, template)
    assert np.abs(measured.skin - (assets[2].skin + assets[4].skin) / 2).max() < 1e-3
    unmeasured = start_of(tmp_path, replace(person, measures=None), template)
    assert np.abs(unmeasured.skin - assets[2].skin).max() < 1e-3
    with pytest.raises(InputError, match="has 11 numbers but this prior wants 16"):
        start_of(tmp_path, Identity(embeddings[2], measures=np.zeros(3, np.float32)), template)


def test_colours_change_the_look_and_not_the_face(known, tmp_path: Path) -> None:
    regressor, embeddings, _ = known
    save_start(regressor, tmp_path)
    person = Identity(embeddings[2], colours=np.array([-0.9, 0.5, 0.4, -0.5, -0.1, 0.6, 1.0], np.float32))
    seen, unseen = (
        start_of(tmp_path, one, load_template()) for one in (person, replace(person, colours=None))
    )
    assert np.array_equal(seen.skin, unseen.skin)
    assert seen.appearance.hair_melanin < unseen.appearance.clamped().hair_melanin - 0.1
    assert seen.appearance.style_logits == unseen.appearance.style_logits


def test_the_silhouette_changes_the_hair_and_no_more(known, tmp_path: Path) -> None:
    regressor, embeddings, _ = known
    save_start(regressor, tmp_path)
    hanging = np.array([1.2, 1.25, 0.9, 0.95, 0.95], np.float32)
    person = Identity(embeddings[2], silhouette=hanging)
    seen, unseen = (
        start_of(tmp_path, one, load_template()) for one in (person, replace(person, silhouette=None))
    )
    assert np.array_equal(seen.skin, unseen.skin)
    long = [HAIR_STYLES.index(name) for name in ("bob", "long")]
    logits = [np.array(start.appearance.style_logits) for start in (seen, unseen)]
    assert logits[0][long].sum() > logits[1][long].sum() + 0.1
    same = replace(
        seen.appearance,
        style_logits=unseen.appearance.style_logits,
        hair_curl=unseen.appearance.hair_curl,
    )
    assert np.array_equal(same.to_vector(), unseen.appearance.to_vector())


def test_numbers_of_any_size_are_weighed_alike() -> None:
    """The kernel's width follows the rows' distances, however large they are."""
    x, y, who = people(0.1)
    small, large = (fit_start(x * by, y, who, shape_size=3, encoder="dlib") for by in (1.0, 1000.0))
    new = people(0.1, seed=1)[0]
    np.testing.assert_allclose(small.predict(new), large.predict(new * 1000), atol=1e-3)


def test_without_a_regressor_it_is_the_mean_head(tmp_path: Path) -> None:
    template = load_template()
    start = start_of(tmp_path, Identity(np.zeros(128, np.float32)), template)
    assert np.array_equal(start.skin, template.vertices)
    assert start.appearance == AppearanceParameters()
    assert len(start.appearance.to_vector()) == len(VECTOR_NAMES)


def test_an_identity_of_another_length_is_refused(known) -> None:
    with pytest.raises(InputError, match="has 512 numbers but this prior wants 8 by the dlib encoder"):
        known[0].head(np.zeros(512, np.float32), load_template())


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    assert load_start(tmp_path) is None
    (tmp_path / START_FILE).write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no start regressor"):
        load_start(tmp_path)


def test_known_looks_are_as_varied_as_people_and_unknown_ones_are_average() -> None:
    """Least squares gives everybody a little of what few have; the head has it or has it not."""
    random = np.random.default_rng(3)
    template = load_template()
    shape_size = len(template.basis)
    x = random.normal(size=(400, 6)) * 0.3
    beard, freckles = (VECTOR_NAMES.index(name) for name in ("beard", "freckles"))
    y = np.zeros((400, shape_size + len(VECTOR_NAMES)))
    y[:, shape_size + beard] = np.where(x[:, 0] > 0.1, 1.5, -2.0)  # about one in three
    y[:, shape_size + freckles] = random.normal(size=400)  # nothing tells
    found = fit_start(x, y, np.arange(400), shape_size=shape_size, encoder="dlib")
    new = random.normal(size=(60, 6)) * 0.3
    answers = found.predict(new)[:, shape_size + beard]
    assert ((answers > -1.9) & (answers < 1.4)).mean() > 0.3  # neither one nor the other
    beards = np.array([found.head(row, template).appearance.beard for row in new])
    assert ((beards < 0.02) | (beards > 0.85)).mean() > 0.9
    assert 0.2 < (beards > 0.5).mean() < 0.6
    assert np.std([found.head(row, template).appearance.freckles for row in new]) < 0.08
