from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from id3d_engine.assets.appearance import AppearanceParameters
from id3d_engine.assets.grant import grant
from id3d_engine.assets.skin import author_textures
from id3d_engine.assets.wishes import read_wishes
from id3d_engine.head import Head
from id3d_engine.png import to_uint8
from id3d_engine.stages import looks
from id3d_engine.template import load_template
from id3d_engine.yardstick.text_agreement import text_agreement

TEXT = "an old man with a full beard and blue eyes"


@pytest.fixture
def granted(template_head: Head) -> Head:
    """What the start head is for that text."""
    template = load_template()
    vertices, look = grant(read_wishes(TEXT), template.vertices, AppearanceParameters(), template)
    maps = {"albedo": to_uint8(author_textures(template, look, 256).albedo_srgb)}
    info = {"provenance": {"text": TEXT}} | looks(look)
    return replace(template_head, vertices=vertices, textures=template_head.textures | maps, info=info)


def test_a_head_that_is_as_asked_agrees_wholly(granted: Head) -> None:
    found = text_agreement(granted, load_template())
    assert set(found) == {"age", "gender", "beard", "moustache", "stubble", "iris_melanin", "iris_hue"}
    assert all(share == pytest.approx(1.0, abs=0.1) for share in found.values())


def test_what_was_lost_on_the_way_shows(granted: Head) -> None:
    template = load_template()
    shaved = AppearanceParameters.from_record(granted.info["look"]["maps"])
    shaved = replace(shaved, beard=0.0, moustache=0.0, stubble=0.0)
    maps = {"albedo": to_uint8(author_textures(template, shaved, 256).albedo_srgb)}
    young = replace(granted, vertices=template.vertices, textures=granted.textures | maps)
    found = text_agreement(young, template)
    assert found["age"] == 0.0 and found["beard"] < 0.2 and found["iris_hue"] > 0.9


def test_without_a_text_there_is_nothing_to_agree_with(granted: Head) -> None:
    assert text_agreement(replace(granted, info={}), load_template()) == {}
    geometry = granted.info["provenance"] | {"target": "geometry"}
    found = text_agreement(replace(granted, info=granted.info | {"provenance": geometry}), load_template())
    assert set(found) == {"age", "gender"}
    assert np.all(np.array(list(found.values())) == 1.0)
