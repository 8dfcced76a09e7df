import numpy as np
import pytest

from id3d_engine.assets.appearance import HAIR_STYLES
from id3d_engine.assets.captions import caption
from id3d_engine.assets.sampler import sample_appearance
from id3d_engine.assets.wishes import read_wishes
from id3d_engine.subjects import ATTRIBUTES, sample_attributes


def test_every_caption_of_a_training_head_is_read_as_it_was_meant():
    random = np.random.default_rng(0)
    rows, styles, wrong_style, wrong_age, wrong_sex = sample_attributes(600, random), 0, 0, 0, 0
    for row in rows:
        attributes = dict(zip(ATTRIBUTES, row.astype(float).tolist(), strict=True))
        look = sample_appearance(attributes, random)
        wishes = read_wishes(caption(attributes, look, random))
        assert wishes.unread == ()
        styles += wishes.style is not None
        wrong_style += wishes.style not in (None, look.style)
        wrong_age += not _inside(wishes.person.get("age"), attributes["age"])
        wrong_sex += not _inside(wishes.person.get("gender"), round(attributes["gender"]))
        for name in ("beard", "hair_grey", "melanin", "iris_melanin", "wrinkles", "freckles", "makeup"):
            assert abs(wishes.numbers.get(name, getattr(look, name)) - getattr(look, name)) < 0.6, name
    assert styles > 450 and wrong_style == 0 and wrong_sex == 0
    assert wrong_age < 0.05 * len(rows)  # "in her twenties" is said of people of 34, too


def _inside(wish, value):
    return wish is None or wish[0] - 1 <= value <= wish[1] + 1


@pytest.mark.parametrize(
    ("text", "style", "numbers"),
    [
        ("with short, curly red hair", "curly", {"hair_curl": 0.85, "hair_red": 0.9}),
        ("Long curly hair", "long", {"hair_curl": 0.85}),
        ("short brown hair with a side parting", "side_part", {"hair_melanin": 0.68}),
        ("a brown pixie cut", "layered", {"hair_melanin": 0.68}),
        ("make him bald", "bald", {}),
        ("no hair", "bald", {}),
        ("without hair", "bald", {}),
        ("blond, clean-shaven", None, {"hair_melanin": 0.26, "beard": 0.0, "stubble": 0.0}),
        ("a blue-eyed blonde", None, {"iris_hue": 0.12, "hair_melanin": 0.26}),
        ("red lips and black hair", None, {"lip_red": 0.9, "hair_melanin": 0.98}),
        ("dark-skinned with green eyes", None, {"melanin": 0.88, "iris_hue": 0.68}),
        ("a full black beard", None, {"beard": 0.9, "hair_melanin": 0.98}),
        ("blonde hair and a black beard", None, {"beard": 0.75, "hair_melanin": 0.26}),
        ("no beard or wrinkles, many freckles", None, {"beard": 0.0, "wrinkles": 0.0, "freckles": 0.95}),
    ],
)
def test_words_of_the_look(text, style, numbers):
    wishes = read_wishes(text)
    assert wishes.style == style
    assert {name: wishes.numbers[name] for name in numbers} == numbers
    assert wishes.unread == ()


@pytest.mark.parametrize(
    ("text", "age", "male"),
    [
        ("as a cute baby", 2.0, None),
        ("an old man", 77.0, True),
        ("a man, 42 years old", 42.0, True),
        ("a woman in her forties", 45.0, False),
        ("aged 9", 9.0, None),
        ("a young girl", 11.0, False),
        ("not old", None, None),
    ],
)
def test_words_of_the_person(text, age, male):
    person = read_wishes(text).person
    assert person.get("age", (0, 0, None))[2] == age
    assert (person["gender"][2] > 0.5 if "gender" in person else None) == male


def test_what_is_not_known_is_told_and_changes_nothing():
    assert not read_wishes("") and not read_wishes(None) and not read_wishes("a photo of a face")
    wishes = read_wishes("an elf with green skin and a hat")
    assert not wishes and wishes.unread == ("elf", "green", "hat")


def test_styles_are_ones_that_can_be_drawn():
    for text in (
        "bob",
        "afro",
        "a ponytail",
        "buzz cut",
        "slicked-back hair",
        "receding hairline",
        "short hair",
    ):
        assert read_wishes(text).style in HAIR_STYLES, text
