import numpy as np
import pytest
import torch

from id3d_engine.assets.bust import bust, dress, neck_border
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
