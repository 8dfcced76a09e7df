"""What a photograph's silhouette, sex and age change of the hair that was regressed from the identity.

An embedding is made to be the same after any hairdresser, and what it says of the style it hardly knows. The
outline of the hair shows more, and people of a sex and age wear some styles more often than others. Styles'
probabilities are multiplied: those regressed, those customary among such people, and the likelihood of the
numbers seen, as our own strands have them. How curly the hair is, is half what was regressed and half what is
customary: an embedding does not know that either.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..assets.appearance import HAIR_STYLES, AppearanceParameters
from ..assets.sampler import sample_appearance
from ..subjects import ATTRIBUTES

Array = NDArray[np.float64]

# Means and standard deviations of `silhouette.NAMES` in 403 photo-like renders of 135 people with strands,
# cut out by the network; half of them stand before somebody else, and more than half are cropped close. Of
# the layered cut 139 others of 70 people.
_MEANS = np.array([
    (0.98, 0.93, 0.11, 0.05, 0.45),  # bald
    (1.05, 0.98, 0.13, 0.08, 0.61),  # buzz
    (1.22, 1.09, 0.10, 0.04, 0.54),  # short
    (1.29, 1.10, 0.18, 0.07, 0.61),  # side_part
    (1.31, 1.11, 0.11, 0.02, 0.52),  # quiff
    (1.16, 1.16, 0.78, 0.79, 0.86),  # bob
    (1.18, 1.21, 0.87, 0.93, 0.96),  # long
    (1.42, 1.34, 0.30, 0.11, 0.54),  # curly
    (1.47, 1.40, 0.29, 0.19, 0.55),  # afro
    (1.07, 1.01, 0.14, 0.04, 0.57),  # receding
    (1.13, 1.01, 0.16, 0.08, 0.52),  # bun
    (1.34, 1.25, 0.30, 0.09, 0.54),  # layered
])  # fmt: skip
_SPREADS = np.array([
    (0.12, 0.10, 0.17, 0.12, 0.21),
    (0.12, 0.10, 0.18, 0.14, 0.23),
    (0.12, 0.10, 0.17, 0.13, 0.22),
    (0.15, 0.12, 0.17, 0.13, 0.22),
    (0.13, 0.11, 0.17, 0.11, 0.22),
    (0.12, 0.12, 0.18, 0.19, 0.18),
    (0.13, 0.12, 0.16, 0.20, 0.16),
    (0.22, 0.20, 0.24, 0.14, 0.21),
    (0.22, 0.19, 0.23, 0.23, 0.24),
    (0.11, 0.10, 0.20, 0.12, 0.24),
    (0.13, 0.11, 0.20, 0.14, 0.23),
    (0.16, 0.13, 0.20, 0.14, 0.22),
])  # fmt: skip
# In photographs other people, hands, collars and dark walls are taken for hair more often than in renders: a
# number may be anything in its range as often as this. Numbers that say much the same count less each. Both
# are chosen on photographs (docs/priors.md).
_RANGES = np.array([1.3, 1.3, 1.0, 1.0, 1.0])
_ANYTHING, _COUNTS = 0.35, 0.7

# Who wears which kind of hair is surer than how exactly: short cuts share their probability.
_KINDS = (
    ("bald",),
    ("buzz", "short", "side_part", "quiff", "receding"),
    ("bob", "long"),
    ("curly", "afro"),
    ("bun",),
    ("layered",),
)
_BELOW = 0.95  # of its best style, where others end
_CHOSEN = 2.0  # the sampler's logit of the style that is worn; a regressed one is this times a probability
_LEAST = 0.02  # of a probability that is regressed
# The sampler draws what grows; of what grows in curls, two in three are combed or cut otherwise.
_CURLS = 0.35
_BOBS = 0.5  # of the sampler's, too: in photographs most hair that hangs is longer
_DRAWS = 256  # people that are asked what they wear
_DOUBTS = {"gender": 0.2, "age": 6.0}  # standard deviations of what is read from a shape


def with_silhouette(
    look: AppearanceParameters, seen: NDArray[np.floating], person: NDArray[np.floating]
) -> AppearanceParameters:
    """The look with its style's logits and its curl corrected: logits that the sampler is expected to give.

    Args:
        look: What was regressed.
        seen: What `identity.silhouette` found; not a number where nothing was seen.
        person: (len(ATTRIBUTES),) who the head is by its shape.
    """
    told = np.maximum(np.nan_to_num(np.asarray(look.style_logits)) / _CHOSEN, _LEAST)
    customary, curl = _customs(person)
    energy = -np.log(told) - np.log(customary) - _likelihood(seen)
    share = _likeliest_kind_first(np.exp(energy.min() - energy))
    logits = tuple((_CHOSEN * share / share.sum()).tolist())
    return replace(look, style_logits=logits, hair_curl=(look.hair_curl + curl) / 2)


def _likeliest_kind_first(share: Array) -> Array:
    """(S,) the same, but no style above the best one of the most probable kind."""
    kinds = [[HAIR_STYLES.index(style) for style in kind] for kind in _KINDS]
    likeliest = max(kinds, key=lambda kind: share[kind].sum())
    limited = np.minimum(share, _BELOW * share[likeliest].max())
    limited[likeliest] = share[likeliest]
    return limited


def _likelihood(seen: NDArray[np.floating]) -> Array:
    """(S,) logarithms of how likely each style looks so."""
    known = np.isfinite(seen)
    off = (np.asarray(seen, np.float64)[known] - _MEANS[:, known]) / _SPREADS[:, known]
    usual = np.exp(-(off**2) / 2) / (_SPREADS[:, known] * np.sqrt(2 * np.pi))
    density = (1 - _ANYTHING) * usual + _ANYTHING / _RANGES[known]
    found: Array = _COUNTS * np.log(density).sum(axis=1)
    return found


def _customs(person: NDArray[np.floating]) -> tuple[Array, float]:
    """By the sampler, of people of about that sex, age and ancestry: (S,) how often they wear each style, and
    how curly their hair is."""
    random = np.random.default_rng(0)
    worn, curl = np.ones(len(HAIR_STYLES)), 0.0  # no style is out of the question
    for _ in range(_DRAWS):
        row = dict(zip(ATTRIBUTES, np.asarray(person, np.float64).tolist(), strict=True))
        row["gender"] += _DOUBTS["gender"] * random.standard_normal()
        row["age"] = max(row["age"] + _DOUBTS["age"] * random.standard_normal(), 1.0)
        drawn = sample_appearance(row, random)
        worn[HAIR_STYLES.index(drawn.style)] += 1
        curl += drawn.hair_curl / _DRAWS
    worn[[HAIR_STYLES.index(style) for style in ("curly", "afro")]] *= _CURLS
    bob, long = HAIR_STYLES.index("bob"), HAIR_STYLES.index("long")
    worn[long] += (1 - _BOBS) * worn[bob]
    worn[bob] *= _BOBS
    return worn / worn.sum(), curl
