import numpy as np
import pytest

from id3d_engine.assets.sampler import HELD_OUT_FIRST_SEED, random_mixture, sample_appearance, sample_asset
from id3d_engine.errors import InputError
from id3d_engine.expressions import EXPRESSION_NAMES
from id3d_engine.rig.lids import gaps, rim_halves


def people(count=400, **fixed):
    random = np.random.default_rng(0)
    base = {"age": 35.0, "gender": 0.0, "african": 0.0, "asian": 0.0, "caucasian": 1.0, "weight": 0.5}
    return [sample_appearance({**base, **fixed}, random) for _ in range(count)]


def test_the_same_seed_gives_the_same_bytes(template, asset):
    again = sample_asset(template, 3)
    assert asset.neutral.tobytes() == again.neutral.tobytes()
    assert asset.appearance == again.appearance and asset.caption == again.caption
    assert all(asset.expressions[k].tobytes() == again.expressions[k].tobytes() for k in EXPRESSION_NAMES)


def test_other_seeds_give_other_people(template, asset):
    other = sample_asset(template, 4)
    assert np.abs(asset.skin - other.skin).max() > 0.002
    assert asset.appearance != other.appearance


def test_held_out_seeds_are_their_own_range(template):
    assert sample_asset(template, 5, held_out=True).seed == HELD_OUT_FIRST_SEED + 5


def test_an_asset_is_consistent(template, asset):
    assert asset.neutral.shape == template.vertices.shape and asset.neutral.dtype == np.float32
    assert np.allclose(asset.skin, template.shape(asset.shape), atol=1e-6)
    assert tuple(asset.expressions) == EXPRESSION_NAMES
    assert 0.2 < np.ptp(asset.skin[:, 2]) < 0.32


def test_expressions_scale_and_vary_with_the_person(template, asset):
    full, half = asset.expression("smile"), asset.expression("smile", 0.5)
    assert np.allclose(half, full / 2) and np.abs(full).max() > 0.002
    assert not asset.expression("neutral").any()
    assert np.abs(full - sample_asset(template, 4).expression("smile")).max() > 1e-5


def test_an_unknown_expression_is_refused(asset):
    with pytest.raises(InputError, match="no expression 'wink'"):
        asset.expression("wink")


def test_expressions_are_made_for_the_head_they_are_on(template):
    adult, child = (sample_asset(template, seed) for seed in (0, 48))  # 16 and 1 years old
    for asset in (adult, child):
        upper, lower = rim_halves(template, "left")
        open_, closed = asset.skin, asset.skin + asset.expression("eyes_closed")
        assert gaps(closed, upper, lower).max() < 0.25 * gaps(open_, upper, lower).max()
    reach = [np.abs(asset.expression("smile")).max() / np.ptp(asset.skin[:, 0]) for asset in (adult, child)]
    assert 0.7 < reach[0] / reach[1] < 1.4


def test_random_mixtures_move_the_face_only(template, asset):
    random = np.random.default_rng(2)
    moved = np.linalg.norm(np.mean([random_mixture(asset.units, random) for _ in range(8)], axis=0), axis=1)
    assert moved[template.regions["face"] > 0.5].max() > 1e-4
    assert moved[template.regions["scalp"] > 0.99].mean() < 1e-3


def test_women_and_children_have_no_beards():
    assert not any(a.beard or a.stubble for a in people(gender=0.0) + people(gender=1.0, age=10.0))
    assert 0.15 < np.mean([a.beard > 0.4 for a in people(gender=1.0)]) < 0.3


def test_age_brings_grey_hair_and_wrinkles():
    young, old = people(age=25.0), people(age=80.0)
    assert max(a.hair_grey for a in young) < 0.2 < np.mean([a.hair_grey for a in old])
    assert np.mean([a.wrinkles for a in young]) + 0.5 < np.mean([a.wrinkles for a in old])


def test_ancestry_sets_the_colours():
    african, caucasian = people(african=1.0, caucasian=0.0), people()
    assert np.mean([a.melanin for a in african]) > np.mean([a.melanin for a in caucasian]) + 0.5
    assert min(a.hair_melanin for a in african) > 0.8
    assert 0.2 < np.mean([a.hair_melanin < 0.4 for a in caucasian]) < 0.45


def test_every_appearance_survives_the_vector():
    for look in people(50):
        assert type(look).from_vector(look.to_vector(), look.texture_seed) == look
