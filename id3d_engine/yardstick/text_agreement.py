"""Does a finished head show what its text asked for?

Who it should be is read from its shape. What it should look like is looked up in its albedo map: between
the map that is authored for the look it has and one for the same look without the wish, on which side does
it lie? Nothing of the priors takes part, so this also tells what distillation left of a wish. Words that the
start head does not know are not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..assets.appearance import AppearanceParameters, style_logits
from ..assets.skin import author_textures
from ..assets.wishes import Wishes, read_wishes
from ..head import Head
from ..subjects import ATTRIBUTES
from ..template import HeadTemplate

MAP_PX = 256


def text_agreement(head: Head, template: HeadTemplate) -> dict[str, float]:
    """Wish -> how far it is fulfilled, 1 wholly and 0 not at all; empty for a head without a text.

    Of age, sex, build and ancestry 1 means inside what the word allows. Of a number of the look it is the
    share of the way from the opposite (no beard at all) to what was authored; noise can carry it somewhat
    past either end.

    Args:
        head: On the template's topology, as `generate` and `edit` make it.
    """
    provenance = head.info.get("provenance", {})
    wishes = read_wishes(provenance.get("text"))
    found: dict[str, float] = {}
    if wishes.person and provenance.get("target") != "texture":
        row = template.given_attributes.attributes(template.coefficients(head.vertices)[None])[0]
        for name, (lowest, highest, _) in wishes.person.items():
            slack = 2.0 if name == "age" else 0.1  # what reading a shape misses
            found[name] = float(lowest - slack <= row[ATTRIBUTES.index(name)] <= highest + slack)
    known = head.info.get("look")
    if known is None or provenance.get("target") == "geometry":
        return found
    look = AppearanceParameters.from_record(known["maps"])
    square = Image.fromarray(head.textures["albedo"]).resize((MAP_PX, MAP_PX), Image.Resampling.BOX)
    finished = np.asarray(square, np.float32) / 255
    hanging = head.strands is None  # else long hair is no part of the maps
    authored = _albedo(template, look, hanging)
    for name, other in _opposites(wishes, look):
        without = _albedo(template, other, hanging)
        way = authored - without
        found[name] = float(((finished - without) * way).sum() / max(float((way**2).sum()), 1e-9))
    return found


def _albedo(template: HeadTemplate, look: AppearanceParameters, hanging: bool) -> NDArray[np.float32]:
    return author_textures(template, look, MAP_PX, hanging).albedo_srgb


def _opposites(wishes: Wishes, look: AppearanceParameters) -> Iterator[tuple[str, AppearanceParameters]]:
    """Each wish for the look, and the look with its opposite."""
    for name, value in wishes.numbers.items():
        opposite: dict[str, Any] = {name: 0.0 if value > 0.5 else 1.0}
        yield name, replace(look, **opposite)
    if wishes.style is not None:
        other = "long" if wishes.style == "bald" else "bald"
        yield "style", replace(look, style_logits=style_logits(other))
