import numpy as np

from id3d_engine.assets.appearance import HAIR_STYLES, AppearanceParameters, style_logits
from id3d_engine.assets.captions import caption


def captions(age, gender, count=60, **changes):
    random = np.random.default_rng(0)
    look = AppearanceParameters(**changes)
    return [caption({"age": age, "gender": gender}, look, random) for _ in range(count)]


def share(texts, *words):
    return np.mean([any(word in text for word in words) for text in texts])


def test_age_and_gender_show():
    assert share(captions(1.0, 0.0), "baby", "toddler") == 1.0
    assert share(captions(25.0, 0.0), "woman") == 1.0
    assert share(captions(80.0, 1.0), "old man", "elderly man", "grandfather") == 1.0


def test_hair_beard_and_freckles_are_named():
    texts = captions(30.0, 1.0, beard=0.9, freckles=0.9, style_logits=style_logits("buzz"))
    assert share(texts, "beard") > 0.5 and share(texts, "freckles") > 0.5
    assert share(texts, "buzz", "cropped") > 0.7
    assert share(texts, "long") == 0.0


def test_colours_are_true():
    blonde = captions(30.0, 0.0, hair_melanin=0.1, hair_red=0.0, style_logits=style_logits("long"))
    assert share(blonde, "blonde", "long") > 0.7 and share(blonde, "black", "brown hair", "red") == 0.0
    assert share(captions(30.0, 0.0, hair_grey=1.0), "white", "silver") > 0.7


def test_the_words_vary_and_the_generator_decides():
    texts = captions(30.0, 0.0)
    assert len(set(texts)) > 30
    assert texts == captions(30.0, 0.0)


def test_every_style_makes_a_clean_sentence():
    for style in HAIR_STYLES:
        for text in captions(40.0, 1.0, 20, style_logits=style_logits(style)):
            assert "{" not in text and "  " not in text and text == text.strip() and text == text.lower()
            assert " a old" not in text and " a elderly" not in text and "with bald" not in text
