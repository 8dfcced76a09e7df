"""Where the optimisation starts: a head regressed from the identity embedding.

Most of what score distillation from a mean head would find out is that it is a head; much of the
rest is what a linear map of the embedding already knows. Ridge regression maps the embedding to
the template's shape coefficients and to the appearance parameters; distillation then adds what it
cannot know: expression, detail, text. A prior folder without `start.safetensors` starts from the
mean head.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..assets.appearance import AppearanceParameters
from ..assets.hair import hair_offsets
from ..errors import InputError
from ..template import HeadTemplate

START_FILE = "start.safetensors"


@dataclass(frozen=True)
class HeadStart:
    """The head that optimisation starts from.

    Attributes:
        skin: (V, 3) float32, the neutral head without hair, metres.
        neutral: (V, 3) float32, the same with raised hair.
        appearance: What `author_textures` paints it with.
    """

    skin: NDArray[np.float32]
    neutral: NDArray[np.float32]
    appearance: AppearanceParameters


@dataclass(frozen=True)
class StartRegressor:
    """Ridge regression from an embedding to shape coefficients and appearance numbers.

    Attributes:
        mean: (D,) the training embeddings' mean.
        weights: (D, T), with T = shape components + appearance numbers.
        bias: (T,), the training targets' mean: the answer for the mean embedding.
        shape_size: How many of the T numbers are shape coefficients.
        encoder: Name of the encoder the embeddings came from.
    """

    mean: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    shape_size: int
    encoder: str

    def predict(self, embedding: NDArray[np.floating]) -> NDArray[np.float32]:
        """(D,) or (N, D) embeddings -> (T,) or (N, T) numbers."""
        return ((np.asarray(embedding, np.float32) - self.mean) @ self.weights + self.bias).astype(np.float32)

    def head(self, embedding: NDArray[np.floating], template: HeadTemplate) -> HeadStart:
        """The start head of one identity.

        Raises:
            InputError: the embedding has another length than the regressor was trained for.
        """
        if np.shape(embedding) != self.mean.shape:
            raise InputError(
                f"the identity has {np.size(embedding)} numbers but this prior wants "
                f"{self.mean.size} from the {self.encoder} encoder: make it again from the photos"
            )
        numbers = self.predict(embedding)
        appearance = AppearanceParameters.from_vector(numbers[self.shape_size :])
        return start_head(template, numbers[: self.shape_size], appearance)


def start_head(
    template: HeadTemplate, shape: NDArray[np.floating], appearance: AppearanceParameters
) -> HeadStart:
    """Shape coefficients and an appearance -> a start head with raised hair."""
    skin = template.shape(shape)
    return HeadStart(skin, skin + hair_offsets(template, skin, appearance), appearance)


def fit_ridge(
    embeddings: NDArray[np.floating],
    targets: NDArray[np.floating],
    *,
    shape_size: int,
    encoder: str,
    penalties: NDArray[np.floating] | None = None,
) -> StartRegressor:
    """Ridge regression; every target's penalty is chosen by generalised cross-validation.

    Source: Golub, Heath, Wahba 1979. With X = U S V^T and shrinkage f = s^2 / (s^2 + penalty), the
    score of a penalty is the mean squared residual over (1 - sum(f) / N)^2.

    Args:
        embeddings: (N, D).
        targets: (N, T).
    """
    x = np.asarray(embeddings, np.float64)
    y = np.asarray(targets, np.float64)
    mean, bias = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    projected = u.T @ (y - bias)
    total = ((y - bias) ** 2).sum(0)
    grid = np.geomspace(1e-4, 1e3, 29) if penalties is None else np.asarray(penalties)
    scores = []
    for penalty in grid:
        keep = s**2 / (s**2 + penalty)
        # |y - U f U^T y|^2 without forming the residual of every sample.
        residual = total - ((2 * keep - keep**2)[:, None] * projected**2).sum(0)
        scores.append(residual / len(x) / (1 - keep.sum() / len(x)) ** 2)
    best = grid[np.argmin(scores, axis=0)]
    shrunk = s[:, None] / (s[:, None] ** 2 + best[None]) * projected
    return StartRegressor(
        mean.astype(np.float32),
        (vt.T @ shrunk).astype(np.float32),
        bias.astype(np.float32),
        shape_size,
        encoder,
    )


def save_start(regressor: StartRegressor, folder: Path) -> None:
    """Write `start.safetensors` into a prior folder."""
    from safetensors.numpy import save_file

    tensors = {
        "mean": regressor.mean,
        "weights": np.ascontiguousarray(regressor.weights.astype(np.float16)),
        "bias": regressor.bias,
    }
    metadata = {"encoder": regressor.encoder, "shape_size": str(regressor.shape_size)}
    temporary = folder / (START_FILE + ".tmp")
    save_file(tensors, temporary, metadata=metadata)
    os.replace(temporary, folder / START_FILE)


def load_start(folder: Path) -> StartRegressor | None:
    """The start regressor of a prior folder, or None when it has none."""
    from safetensors import safe_open

    path = folder / START_FILE
    if not path.is_file():
        return None
    with safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
        tensors = {key: file.get_tensor(key).astype(np.float32) for key in file.keys()}  # noqa: SIM118
    return StartRegressor(**tensors, shape_size=int(metadata["shape_size"]), encoder=metadata["encoder"])


def find_start(prior: str | Path, embedding: NDArray[np.floating], template: HeadTemplate) -> HeadStart:
    """The start head that a prior's folder gives an identity; the mean head if it has no regressor.

    Raises:
        InputError: the prior is nowhere, or its regressor wants another embedding.
    """
    from .locate import locate

    regressor = load_start(locate(prior))
    if regressor is None:
        shape = np.zeros(len(template.basis), np.float32)
        return start_head(template, shape, AppearanceParameters())
    return regressor.head(embedding, template)
