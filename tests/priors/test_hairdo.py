"""The photograph's outline decides between styles that the embedding leaves open."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from id3d_engine.assets.appearance import HAIR_STYLES, AppearanceParameters, style_logits
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.identity.dlib_encoder import DlibEncoder
from id3d_engine.identity.face_mesh import face_points
from id3d_engine.identity.silhouette import NAMES, silhouette
from id3d_engine.portrait import Sitter
from id3d_engine.priors.hairdo import with_silhouette
from id3d_engine.priors.start import HeadStart
from id3d_engine.render.lights import preset
from id3d_engine.subjects import ATTRIBUTES
from id3d_engine.template import load_template
from id3d_engine.yardstick.methods import dressed

UNKNOWN = dict.fromkeys(NAMES, np.nan)
SHORT = {"above": 1.22, "aside": 1.08, "ears": 0.1, "cheeks": 0.03, "jaw": 0.4}
LONG = {"above": 1.2, "aside": 1.25, "ears": 0.9, "cheeks": 0.95, "jaw": 0.95}
AFRO = {"above": 1.6, "aside": 1.5, "ears": 0.25, "cheeks": 0.1, "jaw": 0.4}


def person(**numbers: float) -> np.ndarray:
    usual = dict(zip(ATTRIBUTES, (30.0, 0.5, 0.2, 0.2, 0.6, 0.5, 0.5), strict=True))
    return np.array(list({**usual, **numbers}.values()), np.float32)


def worn(
    seen: dict[str, float], who: np.ndarray, look: AppearanceParameters | None = None
) -> dict[str, float]:
    """Probabilities by style."""
    look = look or AppearanceParameters(style_logits=(0.2,) * len(HAIR_STYLES))
    logits = with_silhouette(look, np.array(list(seen.values()), np.float32), who).style_logits
    assert sum(logits) == pytest.approx(2) and min(logits) >= 0
    return {name: logit / 2 for name, logit in zip(HAIR_STYLES, logits, strict=True)}


def test_hair_beside_the_face_is_long() -> None:
    woman = person(gender=0.0)
    long, short = worn(LONG, woman), worn(SHORT, woman)
    assert long["long"] + long["bob"] > 0.9 and long["long"] > 2 * long["bob"]
    assert short["long"] + short["bob"] < 0.3
    # A woman's hair that shows nowhere beside her face is tied more often than cut.
    assert short["bun"] > worn(SHORT, person(gender=1.0))["bun"] + 0.1


def test_hair_over_the_ears_alone_is_layered() -> None:
    seen = {"above": 1.25, "aside": 1.3, "ears": 0.35, "cheeks": 0.1, "jaw": 0.3}
    woman, man = worn(seen, person(gender=0.0)), worn(seen, person(gender=1.0))
    assert max(woman, key=lambda name: woman[name]) == "layered"
    assert woman["layered"] > man["layered"] + 0.2


def test_hair_that_stands_off_is_curly() -> None:
    found = worn(AFRO, person(african=0.8, asian=0.0, caucasian=0.2))
    assert found["afro"] + found["curly"] > 0.4
    assert max(found, key=lambda name: found[name]) in ("afro", "curly")
    assert found["afro"] > 1.4 * worn(AFRO, person(african=0.0, asian=0.2, caucasian=0.8))["afro"]


def test_nothing_seen_leaves_what_was_regressed_and_what_such_people_wear() -> None:
    told = AppearanceParameters(style_logits=style_logits("quiff", 1.0))
    assert max(found := worn(UNKNOWN, person(gender=1.0), told), key=lambda name: found[name]) == "quiff"
    assert worn(UNKNOWN, person(gender=1.0))["long"] < 0.1 < worn(UNKNOWN, person(gender=0.0))["long"]


def test_a_sure_embedding_is_believed_as_far_as_it_is_sure() -> None:
    """Of two that look alike, the regressed one."""
    man = person(gender=1.0)
    for style in ("side_part", "short"):
        found = worn(SHORT, man, AppearanceParameters(style_logits=style_logits(style, 1.2)))
        assert max(found, key=lambda name: found[name]) == style
    unsure = replace(
        AppearanceParameters(), style_logits=tuple(0.4 * (s in ("short", "long")) for s in HAIR_STYLES)
    )
    assert max(found := worn(LONG, man, unsure), key=lambda name: found[name]) == "long"


def test_the_rest_of_the_look_stays() -> None:
    before = AppearanceParameters(texture_seed=4)
    after = with_silhouette(before, np.array(list(LONG.values())), person())
    assert replace(after, style_logits=before.style_logits, hair_curl=before.hair_curl) == before


def test_hair_is_as_curly_as_is_told_and_customary() -> None:
    told = [AppearanceParameters(hair_curl=curl) for curl in (0.1, 0.9)]
    shares = (
        {"african": 0.8, "asian": 0.1, "caucasian": 0.1},
        {"african": 0.0, "asian": 0.8, "caucasian": 0.2},
    )
    african, asian = (
        [with_silhouette(look, np.array(list(SHORT.values())), person(**who)).hair_curl for look in told]
        for who in shares
    )
    assert african[1] - african[0] == pytest.approx(0.4) == asian[1] - asian[0]
    assert african[0] - asian[0] > 0.2 and asian[1] < 0.6 and 0.7 < african[1] < 0.9


def test_numbers_that_are_none_do_no_harm() -> None:
    broken = AppearanceParameters(style_logits=(np.nan,) * len(HAIR_STYLES))
    found = with_silhouette(broken, np.full(len(NAMES), np.nan), person(age=-3.0))
    assert np.isfinite(found.style_logits).all()


def test_the_likeliest_kind_comes_first() -> None:
    """Short cuts are hard to tell apart, and together likelier than one long one."""
    told = {"short": 0.6, "buzz": 0.6, "side_part": 0.6, "long": 0.8}
    look = AppearanceParameters(style_logits=tuple(told.get(style, 0.0) for style in HAIR_STYLES))
    found = worn(UNKNOWN, person(gender=0.5), look)
    assert found["short"] + found["buzz"] + found["side_part"] > 1.5 * found["long"] > found["short"]
    assert max(found, key=lambda name: found[name]) == "short"


def test_rendered_hair_is_recognised() -> None:
    template, encoder = load_template(), DlibEncoder()
    asset, found = sample_asset(template, 7), {}
    for style in ("long", "short", "afro"):
        look = replace(asset.appearance, style_logits=style_logits(style), hair_volume=0.5)
        head = dressed(HeadStart(asset.skin, look), template)
        photo = Sitter(head).shaded("neutral", [10.0], preset("studio"), 320)[0]
        seen = silhouette(photo, face_points(photo, encoder.faces(photo)[0]).points)
        share = worn(
            dict(zip(NAMES, seen.tolist(), strict=True)), person(african=0.8, asian=0.0, caucasian=0.2)
        )
        kinds = {"long": ("long", "bob"), "afro": ("afro", "curly")}
        found[style] = {kind: sum(share[name] for name in names) for kind, names in kinds.items()}
    assert found["long"]["long"] > 0.6 > 0.15 > max(found["short"]["long"], found["afro"]["long"])
    assert found["afro"]["afro"] > 0.3 > 0.15 > max(found["short"]["afro"], found["long"]["afro"])
