"""The few numbers that tell people apart, out of the thousands that a photograph gives.

Fisher's discriminants (Rao 1948): directions along which different people differ much and photographs of one
person little, each scaled so that photographs of one person spread by 1. A distance along them counts what
a smile, a lamp or a turned head changes for little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 200  # principal components that the discriminants are sought among
DISCRIMINANTS = 64
STIFFNESS = 0.01  # of the within-person covariance's mean variance, added to all


@dataclass(frozen=True, eq=False)
class Reading:
    """Attributes: middle (R,) is taken from a row of numbers, axes (R, K) give its discriminants."""

    middle: NDArray[np.float32]
    axes: NDArray[np.float32]

    def of(self, rows: NDArray[np.floating]) -> NDArray[np.float32]:
        """(R,) or (N, R) -> (K,) or (N, K)."""
        return (np.asarray(rows, np.float64) - self.middle) @ self.axes.astype(np.float64)


def fit_reading(rows: NDArray[np.floating], subjects: NDArray[np.integer], blocks: Sequence[int]) -> Reading:
    """The discriminants of rows, one a photograph.

    Args:
        rows: (N, R).
        subjects: (N,) who is on the photograph; some have to be on several.
        blocks: Lengths of the parts of a row that are of one kind, R in all. Kinds are made to vary alike.
    """
    x = np.asarray(rows, np.float64)
    middle = x.mean(axis=0)
    x = x - middle
    ends = np.cumsum(blocks)[:-1]
    spread = np.concatenate(
        [np.full(part.shape[1], np.sqrt((part**2).sum(axis=1).mean())) for part in np.split(x, ends, axis=1)]
    )
    x = x / np.maximum(spread, 1e-12)
    _, sizes, directions = np.linalg.svd(x, full_matrices=False)
    directions = directions[: min(COMPONENTS, int((sizes > 1e-9 * sizes[0]).sum()))]
    x = x @ directions.T
    who, place = np.unique(subjects, return_inverse=True)
    means = np.stack([x[place == i].mean(axis=0) for i in range(len(who))])
    apart = x - means[place]
    within = apart.T @ apart / max(len(x) - len(who), 1)
    within[np.diag_indices_from(within)] += STIFFNESS * max(within.trace() / len(within), 1e-12)
    white = np.linalg.inv(np.linalg.cholesky(within)).T
    _, turn = np.linalg.eigh(np.atleast_2d(np.cov((means @ white).T)))
    axes = directions.T @ white @ turn[:, ::-1][:, :DISCRIMINANTS]
    return Reading(middle.astype(np.float32), (axes / np.maximum(spread, 1e-12)[:, None]).astype(np.float32))
