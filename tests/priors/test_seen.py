"""Colours correct what was regressed, as far as they can be believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from id3d_engine.assets.appearance import AppearanceParameters, style_logits
from id3d_engine.identity import identify
from id3d_engine.identity.colours import NAMES
from id3d_engine.priors.seen import with_colours

PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"
REGRESSED = AppearanceParameters(melanin=0.25, hair_melanin=0.6, hair_red=0.2, hair_grey=0.05)


def colours(**numbers: float) -> np.ndarray:
    """Of fair skin in daylight, and of hair like that of `REGRESSED`, but for some."""
    usual = dict(zip(NAMES, (-0.9, 0.5, 0.4, -1.9, 0.0, 0.3, 1.0), strict=True))
    return np.array(list({**usual, **numbers}.values()), np.float32)


def hair(**numbers: float) -> AppearanceParameters:
    return with_colours(REGRESSED, colours(**numbers))


def test_dark_hair_is_made_dark_and_light_hair_light():
    tones = [hair(hair_light=light).hair_melanin for light in (-3.5, -2.5, -1.5, -0.5)]
    assert tones == sorted(tones, reverse=True)
    assert tones[0] > 0.7 and tones[-1] < 0.4


def test_red_hair_is_red_and_ash_is_not():
    assert (
        hair(hair_red=0.9, hair_light=-1.5).hair_red
        > 0.5
        > 0.25
        > hair(hair_red=-0.3, hair_light=-1.5).hair_red
    )


def test_nothing_is_believed_that_was_not_seen():
    same = hair(hair_seen=0.0, hair_light=3.0, hair_red=2.0)
    assert (same.hair_melanin, same.hair_red, same.hair_grey) == pytest.approx((0.6, 0.2, 0.05))


def test_what_grows_on_a_bald_head_is_no_hair():
    bald = replace(REGRESSED, style_logits=style_logits("bald"))
    assert with_colours(bald, colours(hair_light=1.0)).hair_melanin == bald.hair_melanin


def test_skin_follows_the_photograph_a_little():
    darker, lighter = hair(skin_light=-1.6).melanin, hair(skin_light=-0.5).melanin
    assert darker - lighter == pytest.approx(0.1, abs=0.03)
    night = hair(skin_light=-6.0).melanin
    assert night <= REGRESSED.melanin + 0.15 + 1e-9


def test_the_rest_of_the_look_stays():
    before, after = REGRESSED.to_vector(), hair(hair_light=-3.0).to_vector()
    assert (before != after).sum() == 4


def test_the_portraits_hair_is_not_ginger():
    """The regressor alone makes it so: red 0.57, melanin 0.51."""
    person = identify(PORTRAIT)
    assert person.colours is not None
    ginger = replace(REGRESSED, melanin=0.31, hair_melanin=0.51, hair_red=0.57)
    look = with_colours(ginger, person.colours)
    assert look.hair_red < 0.4 and 0.3 < look.hair_melanin < 0.6
