"""What a photograph's colours change of a look that was regressed from the identity.

An embedding hardly knows hair's colour and doubts the skin's; a photograph shows both, in a light that nobody
knows. Neither is believed alone. Skin is a linear map of what was regressed and seen, fitted on photo-like
renders. Hair is the mean of the posterior: what was regressed is the prior, and the likelihood compares the
colour seen, over the skin's, with the colours that `assets` would paint.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import from_numpy

from ..assets.appearance import AppearanceParameters
from ..assets.hair_paint import GREY_HAIR, hair_colour
from ..assets.skin import skin_tone
from ..identity.colours import split
from ..render.color import srgb_to_linear

Array = NDArray[np.float64]

# Melanin of a constant, what was regressed, and the skin's light, red and yellow: least squares over 797
# photo-like renders of 400 people (docs/priors.md).
_MELANIN = np.array([-0.036, 0.712, -0.090, 0.045, 0.071])
_AT_MOST = 0.15  # further from what was regressed no lamp may take it

# How sure each is: standard deviations of the colour seen (light, red over green, green over blue: the last
# follows lamps most), and of what was regressed. Red hair is rare, so little of a regressed red is believed.
_SEEN = np.array([0.5, 0.2, 0.4])
_MELANIN_SURE, _RED_SURE, _GREY_SURE = 0.25, 0.25, 0.12
_RED_BELIEVED, _RED_ELSE = 0.3, 0.05
_SHINE = 0.02  # of light that hair of any colour reflects
# Hair in shadow of hair is redder and yellower than its pigment: 0.13 and 0.18 on the renders.
_SHADED = np.array([0.0, 0.1, 0.1])


def with_colours(look: AppearanceParameters, colours: NDArray[np.floating]) -> AppearanceParameters:
    """The look with skin's and hair's colours corrected.

    Args:
        look: What was regressed.
        colours: What `identity.colours` found.
    """
    look = look.clamped()
    wanted = float(_MELANIN @ [1.0, look.melanin, *colours[:3]])
    melanin = np.clip(wanted, look.melanin - _AT_MOST, look.melanin + _AT_MOST)
    look = replace(look, melanin=float(np.clip(melanin, 0, 1)))
    # Where no hair grows, what looks like it is something else.
    return look if look.style == "bald" else _hair(look, colours[3:6], float(colours[6]))


def _hair(look: AppearanceParameters, seen: NDArray[np.floating], believed: float) -> AppearanceParameters:
    """Posterior means of the three numbers of hair's colour, as far as they are `believed`."""
    grid = _grid()
    skin = split(np.log(_linear(skin_tone(look))))
    off = (grid.seen - skin - seen) / _SEEN
    red = _RED_BELIEVED * look.hair_red + (1 - _RED_BELIEVED) * _RED_ELSE
    before = np.array([look.hair_melanin, red, look.hair_grey])
    doubt = (grid.numbers - before) / (_MELANIN_SURE, _RED_SURE, _GREY_SURE)
    energy = (off**2).sum(axis=1) + (doubt**2).sum(axis=1)
    share = np.exp((energy.min() - energy) / 2)
    regressed = np.array([look.hair_melanin, look.hair_red, look.hair_grey])
    numbers = regressed + believed * (share @ grid.numbers / share.sum() - regressed)
    melanin, red, grey = numbers.tolist()
    return replace(look, hair_melanin=melanin, hair_red=red, hair_grey=grey)


@dataclass(frozen=True, eq=False)
class _Grid:
    """Attributes: numbers (N, 3), melanin, red and grey of many hairs; seen (N, 3), their logarithms."""

    numbers: Array
    seen: Array


@lru_cache(maxsize=1)
def _grid() -> _Grid:
    melanin, red, grey = (np.linspace(0, 1, count) for count in (26, 6, 6))
    numbers = np.stack(np.meshgrid(melanin, red, grey, indexing="ij"), axis=-1).reshape(-1, 3)
    pigments = [hair_colour(AppearanceParameters(hair_melanin=m, hair_red=r)) for m in melanin for r in red]
    light = np.repeat(_linear(np.array(pigments)), len(grey), axis=0)
    share = numbers[:, 2:]
    light = light * (1 - share) + _linear(GREY_HAIR) * share
    return _Grid(numbers, split(np.log(light + _SHINE)) + _SHADED)


def _linear(srgb: NDArray[np.floating]) -> Array:
    return srgb_to_linear(from_numpy(np.asarray(srgb, np.float64))).numpy()
