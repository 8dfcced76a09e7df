"""One head to render: shape, hair, expressions, appearance and words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .appearance import AppearanceParameters


class Offsets(Mapping[str, NDArray[np.float32]]):
    """Name -> (V, 3) float32 offsets, made when first asked for: many who draw a head never do.

    Args:
        make: Makes all of them.
    """

    def __init__(self, make: Callable[[], Mapping[str, NDArray[np.float32]]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Mapping[str, NDArray[np.float32]]:
        return self._make()

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


@dataclass(frozen=True, eq=False)
class HeadAsset:
    """A head in the template's topology (V vertices), drawn by `sample_asset` or scanned.

    Attributes:
        seed: What it was drawn from, or its place among the scans.
        shape: (M,) float32 coefficients of the template's basis, in standard deviations; None of a scan,
            whose appearance numbers are guesses too.
        skin: (V, 3) float32, the neutral head without hair, metres.
        neutral: (V, 3) float32, the same with raised hair and beard, metres.
        units: ARKit name -> (V, 3) float32 offsets from `neutral` at value 1, as this person moves.
        expressions: Name -> the same at full strength.
        appearance: How it is drawn.
        caption: One sentence about it.
        attributes: `subjects.ATTRIBUTES` by name: age in years, gender (0 woman, 1 man), ancestry
            shares, weight and muscle. Of a scan whatever its owner says.
        scanned: (T, T, 4) float32 in [0, 1]: sRGB albedo of a scan in the template's UVs and, last, how far
            it covers what `appearance` paints; None where all is painted.
    """

    seed: int
    shape: NDArray[np.float32] | None
    skin: NDArray[np.float32]
    neutral: NDArray[np.float32]
    units: Mapping[str, NDArray[np.float32]]
    expressions: Mapping[str, NDArray[np.float32]]
    appearance: AppearanceParameters
    caption: str
    attributes: Mapping[str, float]
    scanned: NDArray[np.float32] | None = None

    def expression(self, name: str, strength: float = 1.0) -> NDArray[np.float32]:
        """(V, 3) offsets of one of the 13 expressions, or of "neutral" (zeros).

        Raises:
            InputError: `name` is not an expression of this head.
        """
        if name == "neutral":
            return np.zeros_like(self.neutral)
        if name not in self.expressions:
            known = ", ".join(self.expressions)
            raise InputError(f"this head has no expression {name!r}: choose neutral, {known}")
        return np.float32(strength) * self.expressions[name]
