import numpy as np
import pytest

from id3d_engine.assets.appearance import AppearanceParameters, style_logits
from id3d_engine.assets.grant import grant
from id3d_engine.assets.sampler import sample_asset
from id3d_engine.assets.wishes import read_wishes
from id3d_engine.subjects import ATTRIBUTES
from id3d_engine.template import load_template


@pytest.fixture(scope="module")
def template():
    return load_template()


def who(template, vertices):
    row = template.given_attributes.attributes(template.coefficients(vertices)[None])[0]
    return dict(zip(ATTRIBUTES, row, strict=True))


def test_who_a_head_is_can_be_read_from_its_shape(template):
    assets = [sample_asset(template, seed, held_out=True) for seed in range(30)]
    for vertices, years, share in (("skin", 2.5, 0.1), ("neutral", 6.0, 0.15)):  # bald, with hair raised
        found = [who(template, getattr(asset, vertices)) for asset in assets]
        age = [one["age"] - asset.attributes["age"] for one, asset in zip(found, assets, strict=True)]
        sex = [one["gender"] - asset.attributes["gender"] for one, asset in zip(found, assets, strict=True)]
        assert np.abs(age).mean() < years and np.abs(sex).mean() < share


def test_an_age_changes_the_shape_and_what_comes_with_it(template):
    asset = next(a for a in (sample_asset(template, s) for s in range(99)) if a.appearance.beard > 0.5)
    skin, look = grant(read_wishes("as a cute baby"), asset.skin, asset.appearance, template)
    assert who(template, skin)["age"] < 4 and who(template, asset.skin)["age"] > 16
    assert look.beard == look.stubble == look.wrinkles == look.hair_grey == 0
    old_skin, old = grant(read_wishes("an old man"), asset.skin, asset.appearance, template)
    assert who(template, old_skin)["age"] > 66 and old.wrinkles > asset.appearance.wrinkles + 0.2
    # It is still the same person's: two men's babies differ as the men do, but for the size.
    man = next(
        a
        for a in (sample_asset(template, s) for s in range(7, 99))
        if a.attributes["gender"] > 0.9 and a.attributes["age"] > 25
    )
    other, _ = grant(read_wishes("as a cute baby"), man.skin, man.appearance, template)
    men, babies = (man.skin - asset.skin).ravel(), (other - skin).ravel()
    assert men @ babies > 0.8 * np.linalg.norm(men) * np.linalg.norm(babies)


def test_who_is_as_wished_stays(template):
    asset = next(
        a
        for a in (sample_asset(template, s) for s in range(99))
        if a.attributes["gender"] > 0.9 and 76 < a.attributes["age"] < 84
    )
    skin, look = grant(read_wishes("an old man"), asset.skin, asset.appearance, template)
    assert np.array_equal(skin, asset.skin) and look == asset.appearance


def test_words_of_the_look_change_that_alone(template):
    look = AppearanceParameters(style_logits=style_logits("bob", 0.4))
    wishes = read_wishes("with a buzz cut and blue eyes")
    skin, new = grant(wishes, template.vertices, look, template)
    assert np.array_equal(skin, template.vertices)
    assert new.style == "buzz" and new.iris_hue == 0.12 and new.melanin == look.melanin


def test_ancestry_is_shared_out(template):
    asset = sample_asset(template, 5)
    skin, look = grant(read_wishes("an african woman"), asset.skin, asset.appearance, template)
    found = who(template, skin)
    assert found["african"] > 0.75 and found["asian"] + found["caucasian"] < 0.25
    assert look.melanin > 0.55
