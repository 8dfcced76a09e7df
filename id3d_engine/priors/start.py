"""Where the optimisation starts: a head regressed from the identity.

Most of what score distillation from a mean head would find out is that it is a head; much of the
rest is what the identity alone already says. Kernel ridge regression maps it to the template's shape
coefficients and to the appearance parameters; distillation then adds what it cannot know: expression,
detail, text. A second regressor gives the shape of those whose photos were measured. A prior folder
without `start.safetensors` starts from the mean head.

Least squares answers doubt with the average: everybody would get some beard and a few grey hairs.
Appearance numbers that an identity does tell are therefore mapped so that, over many people, they are spread
as they are among the training heads: most have no beard at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ..assets.appearance import HAIR_STYLES, AppearanceParameters
from ..errors import InputError
from ..identity import Identity
from ..template import HeadTemplate
from .hairdo import with_silhouette
from .reading import Reading
from .seen import with_colours

START_FILE = "start.safetensors"  # from the embedding alone
MEASURED_FILE = "measured.safetensors"  # the shape, from embedding and measures
FOLDS = 4
# The Gaussian kernel's exponent at the typical distance of two rows. Renders alone would choose 1, for an
# error of 1 % less. But photographs lie farther from all renders than renders from each other, and a narrow
# kernel answers them with the mean head: 10 of 52 real people were nearest to their photographs, to a
# recogniser that guides nothing; with this width 15 to 18 (docs/priors.md).
WIDTH = 0.125
# For looks the narrower one is right: answers far from all renders would be exaggerated, and freckles or an
# afro that nobody has are worse than plain skin and brown hair.
LOOK_WIDTH = 0.5
# Answers spread as much less than the truth as they correlate with it. Where that is little, the mean is the
# better guess, and on photographs nobody gets freckles for nothing (docs/priors.md).
KNOWN = 0.56
NUMBERS = ("support", "weights", "bias", "answered", "true")
KNOTS = 33


@dataclass(frozen=True)
class HeadStart:
    """The head that optimisation starts from.

    Attributes:
        skin: (V, 3) float32, the neutral head without hair, metres.
        appearance: What `author_textures` paints it with.
        tone_seen: Whether its skin's colour was measured in photos; if so, painting does not move it.
    """

    skin: NDArray[np.float32]
    appearance: AppearanceParameters
    tone_seen: bool = False


@dataclass(frozen=True)
class StartRegressor:
    """Kernel ridge regression from an identity's numbers to shape coefficients and appearance numbers.

    The answer to x is `sum_i k(x, support_i) weights_i + bias` with the Gaussian kernel
    `k(a, b) = exp(-gamma |a - b|^2)`, or `k(a, b) = a . b` about the support's mean where gamma is 0,
    which is plain (linear) ridge regression. Shape and look have a gamma and a penalty each.

    Attributes:
        support: (N, D) the training embeddings, or what `reading` makes of embeddings and measures.
        weights: (N, T), with T = shape components + appearance numbers; or the former alone.
        bias: (T,), the training targets' mean.
        answered: (K, A) quantiles of the appearance numbers (all but the hair styles' logits) that are
            answered for people who were left out of the fit.
        true: (K, A) the same quantiles of the training targets; `head` maps one to the other.
        gamma, look_gamma: See above.
        shape_size: How many of the T numbers are shape coefficients.
        encoder: Name of the encoder the embeddings came from.
        reading: What D numbers to make of an identity's row, (R,); None takes the row as it is.
    """

    support: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    answered: NDArray[np.float32]
    true: NDArray[np.float32]
    gamma: float
    look_gamma: float
    shape_size: int
    encoder: str
    reading: Reading | None = None

    def predict(self, rows: NDArray[np.floating]) -> NDArray[np.float32]:
        """(R,) or (N, R) numbers of identities -> (T,) or (N, T) numbers."""
        size = self.shape_size
        parts = ((self.gamma, slice(size)), (self.look_gamma, slice(size, None)))
        return np.concatenate([self._answers(rows, *part) for part in parts], axis=-1)

    def _answers(self, rows: NDArray[np.floating], gamma: float, numbers: slice) -> NDArray[np.float32]:
        read = rows if self.reading is None else self.reading.of(rows)
        read = np.atleast_2d(np.asarray(read, np.float64))
        near = kernel(read, self.support.astype(np.float64), gamma)
        found = near @ self.weights[:, numbers] + self.bias[numbers]
        return found.astype(np.float32).reshape(*np.shape(rows)[:-1], -1)

    def shape(self, row: NDArray[np.floating]) -> NDArray[np.float32]:
        """(M,) shape coefficients of one identity: of its embedding, (R,), or of that and its measures.

        Raises:
            InputError: the row has another length than the regressor was trained for.
        """
        self._check(row)
        return self._answers(row, self.gamma, slice(self.shape_size))

    def look(self, row: NDArray[np.floating]) -> AppearanceParameters:
        """What one identity looks like; raises as `shape` does."""
        self._check(row)
        look = self._answers(row, self.look_gamma, slice(self.shape_size, None))
        for i, (answered, true) in enumerate(zip(self.answered.T, self.true.T, strict=True)):
            if answered.std() >= KNOWN * true.std():
                look[i] = np.interp(look[i], answered, true)
        return AppearanceParameters.from_vector(look)

    def head(self, row: NDArray[np.floating], template: HeadTemplate) -> HeadStart:
        """The start head of one identity by this regressor alone; raises as `shape` does."""
        return start_head(template, self.shape(row), self.look(row))

    def _check(self, row: NDArray[np.floating]) -> None:
        wanted = self.support.shape[1] if self.reading is None else len(self.reading.middle)
        if np.shape(row) != (wanted,):
            raise InputError(
                f"the identity has {np.size(row)} numbers but this prior wants {wanted} by the "
                f"{self.encoder} encoder: make it again from the photos"
            )


def start_head(
    template: HeadTemplate, shape: NDArray[np.floating], appearance: AppearanceParameters
) -> HeadStart:
    """Shape coefficients and an appearance -> a start head."""
    return HeadStart(template.shape(shape), appearance)


def kernel(a: NDArray[np.float64], b: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """(N, M) kernel values of (N, D) and (M, D) embeddings; see `StartRegressor`."""
    if gamma == 0:
        mean = b.mean(axis=0)
        return (a - mean) @ (b - mean).T
    return np.exp(-gamma * _squares(a, b))


def _squares(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, M) squared distances."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T, 0)


def fit_start(
    embeddings: NDArray[np.floating],
    targets: NDArray[np.floating],
    subjects: NDArray[np.integer],
    *,
    shape_size: int,
    encoder: str,
    importance: NDArray[np.floating] | None = None,
    linear: bool = False,
) -> StartRegressor:
    """Fit the regressor; penalties are chosen by cross-validation over subjects.

    Photos of one subject are never on both sides of a split: what counts is how new people come out.
    With fewer subjects than `FOLDS`, the largest penalty is taken.

    Args:
        embeddings: (N, D), one row a photo.
        targets: (N, T); without appearance numbers, a regressor that has no look.
        subjects: (N,) who is on the photo.
        shape_size: How many of the T are shape coefficients.
        encoder: Name of the encoder the embeddings came from.
        importance: (shape_size,) how much an error of each shape coefficient weighs in the choice; None
            is 1. Appearance numbers weigh one over their variance.
        linear: Plain ridge regression instead of the Gaussian kernel.
    """
    # Rounded as they will be kept: what the weights cancel, they have to cancel there.
    x, y = np.asarray(embeddings, np.float16).astype(np.float64), np.asarray(targets, np.float64)
    names, place = np.unique(subjects, return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(names))[place] % FOLDS
    typical = max(float(np.median(_squares(x[:500], x[-500:]))), 1e-6)
    gammas = [0.0, 0.0] if linear else [WIDTH / typical, LOOK_WIDTH / typical]
    penalties = np.geomspace(1e-3, 10, 9) * (typical if linear else 1.0)
    parts = np.split(y, [shape_size], axis=1)
    of_shape = np.ones(shape_size) if importance is None else importance
    importances = [of_shape, 1 / np.maximum(parts[1].var(0), 1e-9)]
    weights, answers = [], parts[1]
    for part, weigh, gamma in zip(parts, importances, gammas, strict=True):
        # Too few people to choose by: the stiffest.
        penalty = penalties[-1]
        if len(names) >= FOLDS and part.size:
            penalty = penalties[_held_out_errors(x, part, fold, gamma, penalties, weigh).argmin()]
            answers = _left_out(x, part, fold, gamma, penalty)
        weights.append(_solve(kernel(x, x, gamma), part - part.mean(0), penalty))
    continuous = slice(0, max(parts[1].shape[1] - len(HAIR_STYLES), 0))
    steps = np.linspace(0, 1, KNOTS)
    return StartRegressor(
        x.astype(np.float32),
        np.concatenate(weights, axis=1).astype(np.float32),
        y.mean(0).astype(np.float32),
        np.quantile(answers[:, continuous], steps, axis=0).astype(np.float32),
        np.quantile(parts[1][:, continuous], steps, axis=0).astype(np.float32),
        gammas[0],
        gammas[1],
        shape_size,
        encoder,
    )


def _solve(gram: NDArray, y: NDArray, penalty: float) -> NDArray:
    system = gram.copy()
    system[np.diag_indices_from(system)] += penalty
    return cho_solve(cho_factor(system, overwrite_a=True), y)


@dataclass(frozen=True)
class _Split:
    """Rows in and out of a fit, and what relates them: `across` (U, S), `gram` (S, S), targets (S, T)."""

    unseen: NDArray
    across: NDArray
    gram: NDArray
    targets: NDArray
    mean: NDArray

    def answers(self, penalty: float) -> NDArray:
        """(U, T) for the rows that are left out."""
        return self.across @ _solve(self.gram, self.targets, penalty) + self.mean


def _splits(
    x: NDArray, y: NDArray, fold: NDArray, gamma: float, *, seen_at_most: int, unseen_at_most: int
) -> Iterator[_Split]:
    for k in range(FOLDS):
        seen, unseen = np.flatnonzero(fold != k)[:seen_at_most], np.flatnonzero(fold == k)[:unseen_at_most]
        mean = y[seen].mean(0)
        across, gram = kernel(x[unseen], x[seen], gamma), kernel(x[seen], x[seen], gamma)
        yield _Split(unseen, across, gram, y[seen] - mean, mean)


def _held_out_errors(
    x: NDArray, y: NDArray, fold: NDArray, gamma: float, penalties: NDArray, importance: NDArray
) -> NDArray:
    """(P,) weighted squared errors of the people left out, one a penalty."""
    total = np.zeros(len(penalties))
    # The choice needs no more than some thousand rows.
    for split in _splits(x, y, fold, gamma, seen_at_most=2400, unseen_at_most=1200):
        for i, penalty in enumerate(penalties):
            total[i] += float((((split.answers(penalty) - y[split.unseen]) ** 2) @ importance).sum())
    return total


def _left_out(x: NDArray, y: NDArray, fold: NDArray, gamma: float, penalty: float) -> NDArray:
    """(N, T) answers for each person from the others."""
    found = np.zeros_like(y)
    for split in _splits(x, y, fold, gamma, seen_at_most=len(x), unseen_at_most=len(x)):
        found[split.unseen] = split.answers(penalty)
    return found


def save_start(regressor: StartRegressor, folder: Path) -> None:
    """Write the regressor's file into a prior folder; the support as float16, which it is rounded to."""
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray] = {
        name: np.ascontiguousarray(getattr(regressor, name), np.float16 if name == "support" else np.float32)
        for name in NUMBERS
    }
    if regressor.reading is not None:
        tensors |= {"middle": regressor.reading.middle, "axes": regressor.reading.axes}
    about = {name: getattr(regressor, name) for name in ("gamma", "look_gamma", "shape_size", "encoder")}
    path = folder / (START_FILE if regressor.reading is None else MEASURED_FILE)
    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata={"start": json.dumps(about)})
    os.replace(temporary, path)


def load_start(folder: Path, *, measured: bool = False) -> StartRegressor | None:
    """A prior folder's regressor from embeddings, or from those and measures; None when it has none.

    Raises:
        InputError: the file is damaged or something else.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / (MEASURED_FILE if measured else START_FILE)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {})["start"])
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in NUMBERS}
            reading = Reading(file.get_tensor("middle"), file.get_tensor("axes")) if measured else None
        return StartRegressor(**tensors, **about, reading=reading)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no start regressor ({error}): copy the prior's folder again") from error


def average_start(template: HeadTemplate) -> HeadStart:
    """The mean head."""
    return start_head(template, np.zeros(len(template.basis), np.float32), AppearanceParameters())


def start_of(folder: Path, person: Identity, template: HeadTemplate) -> HeadStart:
    """The start head that a prior's folder gives an identity; the mean head if it has no regressor.

    Raises:
        InputError: the folder's regressor wants another embedding.
    """
    plain, measured = load_start(folder), load_start(folder, measured=True)
    if plain is None:
        return average_start(template)
    shape, look = plain.shape(person.embedding), plain.look(person.embedding)
    if person.measures is not None and measured is not None:
        # They err differently: their mean is nearer to the true head than either (docs/priors.md).
        told = measured.shape(np.concatenate([person.embedding, person.measures]))
        shape = ((shape + told) / 2).astype(np.float32)
    if person.silhouette is not None:
        look = with_silhouette(look, person.silhouette, template.given_attributes.attributes(shape[None])[0])
    if person.colours is not None:  # after the style: who is bald has no hair's colour
        look = with_colours(look, person.colours)
    start = start_head(template, shape, look)
    return replace(start, tone_seen=person.colours is not None)
