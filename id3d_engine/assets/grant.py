"""A head's shape and look, changed as a text wishes and no further.

Age, sex, build and ancestry change by what these change on average: the template knows the mean shape of
such people, the sampler draws their looks. So a person keeps what is his or her own. What is said of the look
itself ("blue eyes") is taken at its word.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..subjects import ATTRIBUTES
from ..template import HeadTemplate
from .appearance import HAIR_STYLES, AppearanceParameters
from .sampler import sample_appearance
from .wishes import Wishes

DRAWS = 64  # looks of either kind of people that are compared
_ANCESTRY = slice(ATTRIBUTES.index("african"), ATTRIBUTES.index("caucasian") + 1)


def grant(
    wishes: Wishes, vertices: NDArray[np.float32], look: AppearanceParameters, template: HeadTemplate
) -> tuple[NDArray[np.float32], AppearanceParameters]:
    """(V, 3) vertices of a neutral head and its look, both as they are but for what is wished.

    Who the head is now is read from its shape; someone who is already as wished (old enough for "an old man")
    stays the same.
    """
    before = template.given_attributes.attributes(template.coefficients(vertices)[None])[0]
    after = _wished(before, wishes)
    if not np.array_equal(before, after):
        mean = template.given_attributes.mean(np.stack([before, after]))
        vertices = vertices + (template.shape(mean[1]) - template.shape(mean[0]))
        look = _moved(look, before, after)
    logits = list(look.style_logits)
    if wishes.style is not None:
        logits[HAIR_STYLES.index(wishes.style)] = max(logits) + 2.0
    changed: dict[str, Any] = {**wishes.numbers, "style_logits": tuple(logits)}
    return vertices, replace(look, **changed)


def _wished(attributes: NDArray[np.float32], wishes: Wishes) -> NDArray[np.float32]:
    row = attributes.copy()
    for name, (lowest, highest, aim) in wishes.person.items():
        place = ATTRIBUTES.index(name)
        if not lowest <= row[place] <= highest:
            row[place] = aim
            if name in ATTRIBUTES[_ANCESTRY]:  # the other shares make room
                others = [i for i in range(_ANCESTRY.start, _ANCESTRY.stop) if i != place]
                row[others] *= (1 - aim) / max(float(row[others].sum()), 1e-6)
    return row


def _moved(
    look: AppearanceParameters, before: NDArray[np.float32], after: NDArray[np.float32]
) -> AppearanceParameters:
    """The look, by what the looks of such people differ on average, inside what such people have."""
    old, new = (_draws(row) for row in (before, after))
    vector = look.clamped().to_vector()
    numbers, styles = slice(-len(HAIR_STYLES)), slice(-len(HAIR_STYLES), None)
    moved = vector[numbers] + (new - old)[:, numbers].mean(axis=0)
    vector[numbers] = np.clip(moved, new[:, numbers].min(axis=0), new[:, numbers].max(axis=0))
    worn = np.isin(range(len(HAIR_STYLES)), new[:, styles].argmax(axis=1))
    vector[styles][~worn] = vector[styles].min()  # no baby has a bun
    return AppearanceParameters.from_vector(vector, look.texture_seed)


def _draws(row: NDArray[np.float32]) -> NDArray[np.float32]:
    """(DRAWS, A) appearance vectors of such people; the same chances for every row."""
    attributes = dict(zip(ATTRIBUTES, row.astype(float).tolist(), strict=True))
    return np.stack(
        [sample_appearance(attributes, np.random.default_rng(i)).to_vector() for i in range(DRAWS)]
    )
