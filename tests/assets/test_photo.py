import numpy as np
import pytest
import torch

from id3d_engine.assets.bust import bust, dress, neck_border
from id3d_engine.assets.glasses import Frame, spectacles
from id3d_engine.assets.photo import photo_like
from id3d_engine.assets.sampler import sample_asset


def photo(asset, template, seed, **options):
    return photo_like(asset, template, torch.Generator().manual_seed(seed), **options)


def test_a_photo_is_an_image_and_repeats(template, asset):
    one, again, other = (photo(asset, template, s, size=96) for s in (1, 1, 2))
    assert one.shape == (96, 96, 3) and one.dtype == np.uint8
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert 20 < one.mean() < 235 and one.std() > 10


def test_without_strength_the_view_is_steady(template, asset):
    calm = [photo(asset, template, s, size=64, strength=0.0).astype(float) for s in range(3)]
    wild = [photo(asset, template, s, size=64).astype(float) for s in range(3)]
    face = (slice(24, 40), slice(26, 38))
    assert np.std([i[face].mean() for i in calm]) < np.std([i[face].mean() for i in wild]) + 5


def test_an_expression_changes_the_photo(template, asset):
    opened = photo(asset, template, 1, size=96, offsets=asset.expression("mouth_stretch"))
    assert np.abs(opened.astype(int) - photo(asset, template, 1, size=96)).max() > 40


def test_the_shirt_starts_at_the_neck(template, asset):
    border = neck_border(template)
    assert 20 < len(border) < 120
    assert template.vertices[border, 2].max() < 0.06
    figure = bust(template)
    vertices = dress(figure, asset.neutral, asset.skin)
    assert figure.triangles.max() == len(vertices) - 1
    assert np.array_equal(vertices[: len(asset.neutral)], asset.neutral)
    assert vertices[len(asset.neutral) :, 2].max() < 0.07


@pytest.mark.slow
def test_dlib_finds_faces_and_tells_subjects_apart(template):
    from id3d_engine.errors import InputError
    from id3d_engine.identity.dlib_encoder import DlibEncoder

    encoder = DlibEncoder()
    found: dict[int, list[np.ndarray]] = {}
    missed = 0
    for seed in range(24):
        subject = sample_asset(template, seed, held_out=True)
        for shot in range(2):
            try:
                found.setdefault(seed, []).append(encoder.embed(photo(subject, template, 10 * seed + shot)))
            except InputError:
                missed += 1
    same = [np.linalg.norm(v[0] - v[1]) for v in found.values() if len(v) == 2]
    firsts = np.stack([v[0] for v in found.values() if v])
    apart = np.linalg.norm(firsts[:, None] - firsts[None], axis=2)[np.triu_indices(len(firsts), 1)]
    assert missed <= 2
    assert np.mean(same) < 0.36 and np.mean(apart) > 0.5


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_spectacles_stand_before_the_eyes_and_end_behind_the_ears(template, asset, share):
    points, triangles = spectacles(template, asset.skin, Frame.drawn(np.full(4, share)))
    assert triangles.min() == 0 and triangles.max() == len(points) - 1
    assert points[:, 0].max() == pytest.approx(-points[:, 0].min(), abs=0.004)
    for side in (1, -1):
        ball = asset.skin[(template.regions["eyeballs"] > 0.5) & (template.vertices[:, 0] * side > 0)]
        ear = asset.skin[(template.regions["ears"] > 0.5) & (template.vertices[:, 0] * side > 0)]
        middle, own = ball.mean(axis=0), points[points[:, 0] * side > 0]
        rim = own[own[:, 1] < ball[:, 1].min()]
        assert rim[:, 1].max() < ball[:, 1].min() and len(rim) > 200
        # All around the eye, and at no place across it.
        angle = np.arctan2(rim[:, 2] - middle[2], rim[:, 0] - middle[0])
        assert np.histogram(angle, 12, (-np.pi, np.pi))[0].min() > 0
        assert np.hypot(*(rim - middle)[:, [0, 2]].T).min() > 0.009
        assert own[:, 1].max() > ear[:, 1].mean() and own[:, 1].max() < ear[:, 1].max() + 0.02


def test_spectacles_change_the_eyes_part_of_a_photo(template, asset):
    bare, worn = (
        photo(asset, template, 3, size=128, strength=0.0, glasses=glasses).astype(int)
        for glasses in (False, True)
    )
    again = photo(asset, template, 3, size=128, strength=0.0, glasses=True)
    assert np.array_equal(worn, again)
    # Light and background are drawn after the frame, so only how dark lines are is looked at.
    edges = [np.abs(np.diff(image.mean(axis=2), axis=0))[40:80, 40:88].mean() for image in (bare, worn)]
    assert edges[1] > 1.1 * edges[0]
