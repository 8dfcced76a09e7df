import numpy as np
import pytest

from id3d_engine.assets.appearance import HAIR_STYLES, VECTOR_NAMES, AppearanceParameters, style_logits
from id3d_engine.errors import InputError


def test_vector_round_trip_is_exact_for_any_vector():
    vector = (3 * np.random.default_rng(1).standard_normal(len(VECTOR_NAMES))).astype(np.float32)
    assert np.array_equal(AppearanceParameters.from_vector(vector).to_vector(), vector)


def test_exact_parameters_survive_the_vector():
    look = AppearanceParameters(melanin=0.123, beard=0.777, texture_seed=5).exact()
    assert AppearanceParameters.from_vector(look.to_vector(), 5) == look


def test_vector_names_say_which_entry_is_which():
    plain = AppearanceParameters().to_vector()
    changed = AppearanceParameters(freckles=1.0, style_logits=style_logits("afro")).to_vector()
    names = {VECTOR_NAMES[i] for i in np.flatnonzero(plain != changed)}
    assert names == {"freckles", "style_short", "style_afro"}


def test_the_texture_seed_is_not_in_the_vector():
    one, two = AppearanceParameters(texture_seed=1), AppearanceParameters(texture_seed=2)
    assert np.array_equal(one.to_vector(), two.to_vector())


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_style_is_the_largest_logit(style):
    assert AppearanceParameters(style_logits=style_logits(style)).style == style


def test_clamped_makes_wild_numbers_drawable():
    look = AppearanceParameters(melanin=-7.0, wrinkles=float("nan"), beard=float("inf")).clamped()
    assert (look.melanin, look.wrinkles, look.beard) == (0.0, 0.5, 1.0)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(InputError, match="entries, not shape"):
        AppearanceParameters.from_vector(np.zeros(3))


def test_an_unknown_style_is_refused():
    with pytest.raises(InputError, match="unknown hair style 'mohawk'"):
        style_logits("mohawk")
