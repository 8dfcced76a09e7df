import numpy as np
import pytest
import torch

from id3d_engine.appearance.atlas import make_atlas, resize
from id3d_engine.appearance.detail import Detail, author_height, tangent_normals, wrinkle_height
from id3d_engine.appearance.eyes import tint_residual, tint_weights
from id3d_engine.appearance.maps import compose_maps, pack, skin_image
from id3d_engine.appearance.psi_a import CHANNELS, apply_residual
from id3d_engine.assets.appearance import AppearanceParameters
from id3d_engine.render.bake import uv_fragments
from id3d_engine.render.normal_map import bump, encode
from id3d_engine.template import EYE, MOUTH, SKIN


@pytest.fixture(scope="module")
def atlas(template):
    return make_atlas(template, 256)


def test_gather_undoes_image_and_gaps_repeat_the_nearest(atlas):
    values = torch.rand(len(atlas.texel), 2, generator=torch.Generator().manual_seed(0))
    image = atlas.image(values)
    assert torch.equal(atlas.gather(image), values)
    gap = torch.ones(256 * 256, dtype=torch.bool)
    gap[atlas.texel] = False
    assert gap.any()
    assert set(image[0].flatten()[gap].tolist()) <= set(values[:, 0].tolist())


def test_resizing_keeps_means_and_shapes():
    image = np.random.default_rng(0).random((64, 64, 3)).astype(np.float32)
    assert np.allclose(resize(image, 16).mean((0, 1)), image.mean((0, 1)), atol=1e-5)
    assert resize(image[..., 0], 128).shape == (128, 128)
    assert np.array_equal(resize(image, 64), image)


def test_no_seam_shows_in_a_field_on_the_surface(template, start):
    """Texels of different charts at one surface point get one colour, though the grid is coarse."""
    coarse, fine = make_atlas(template, 128), make_atlas(template, 256)
    field = torch.from_numpy(np.sin(coarse.rest * 40)).float()
    residual = torch.cat([field, field[:, :2]], 1)
    maps = compose_maps(pack(start, 256), skin_image(residual, coarse), torch.zeros(len(fine.texel), 5), fine)
    painted = maps.albedo_srgb.reshape(-1, 3)[fine.texel.numpy()]
    wanted = np.concatenate([np.sin(fine.rest * 40)] * 2, 1)[:, :CHANNELS].astype(np.float32)
    exact = apply_residual(fine.gather(pack(start, 256)), torch.from_numpy(wanted))[:, :3].numpy()
    skin = fine.part == SKIN
    assert np.abs(painted - exact)[skin].mean() < 0.01
    assert np.quantile(np.abs(painted - exact)[skin], 0.999) < 0.1


def test_skin_leaves_no_trace_on_eyes(template, start, atlas):
    coarse = make_atlas(template, 64)
    red = torch.zeros(len(coarse.texel), CHANNELS)
    red[:, 0] = 5.0
    maps = compose_maps(pack(start, 256), skin_image(red, coarse), torch.zeros(len(atlas.texel), 5), atlas)
    other = atlas.part != SKIN
    texel = atlas.texel.numpy()
    before = start.albedo_srgb.reshape(-1, 3)[texel]
    after = maps.albedo_srgb.reshape(-1, 3)[texel]
    assert np.allclose(after[other], before[other], atol=1e-5)
    assert after[~other, 0].min() > 0.9


def test_tints_are_bounded_and_belong_to_their_part(template, atlas):
    weights = tint_weights(template, atlas)
    assert torch.allclose(weights.sum(1), torch.from_numpy((atlas.part != SKIN).astype(np.float32)))
    for part, names in ((EYE, (0, 1)), (MOUTH, (2,))):
        inside = weights[torch.from_numpy(atlas.part == part)]
        assert torch.allclose(inside[:, list(names)].sum(1), torch.ones(len(inside)))
    iris = weights[:, 0] > 0.5
    assert 0.005 < iris.float().sum() / (weights[:, :2].sum(1) > 0).float().sum() < 0.5
    assert tint_residual(torch.full((3, 3), 100.0), weights).abs().max() <= 1.0 + 1e-6


def test_a_flat_height_is_a_flat_normal_map(template, atlas):
    normal = tangent_normals(np.zeros(len(atlas.texel), np.float32), atlas, template.vertices)
    assert normal.shape == (256, 256, 3) and normal.dtype == np.float32
    assert np.allclose(normal, (0.5, 0.5, 1.0), atol=1e-6)


def test_normals_agree_with_the_renderers_bump_mapping(template, atlas):
    height = (4e-4 * np.sin(atlas.rest @ np.array([60.0, 40.0, 80.0]))).astype(np.float32)
    ours = tangent_normals(height, atlas, template.vertices)
    vertices, triangles, uv = (
        torch.from_numpy(np.asarray(a)) for a in (template.vertices, template.triangles, template.triangle_uv)
    )
    fragments = uv_fragments(uv, 256)
    image = atlas.image(torch.from_numpy(height)[:, None])[0]
    theirs = encode(bump(image, vertices, triangles, uv, fragments), vertices, triangles, uv, fragments)
    theirs = theirs.permute(1, 2, 0).numpy()
    skin = atlas.texel.numpy()[atlas.part == SKIN]
    a, b = ours.reshape(-1, 3)[skin] - (0.5, 0.5, 1), theirs.reshape(-1, 3)[skin] - (0.5, 0.5, 1)
    for channel in (0, 1):
        assert np.corrcoef(a[:, channel], b[:, channel])[0, 1] > 0.94
        # Spreads, not a fitted slope: that would be flattened by what little differs.
        assert a[:, channel].std() / b[:, channel].std() == pytest.approx(1.0, abs=0.08)


def test_green_points_up_the_texture(template, atlas):
    """A surface rising towards +v leans back to -v: below one half."""
    row = atlas.texel // 256
    height = (1e-4 * (255 - row)).numpy().astype(np.float32)
    normal = tangent_normals(height, atlas, template.vertices)
    assert np.median(normal.reshape(-1, 3)[atlas.texel.numpy()][atlas.part == SKIN, 1]) < 0.5


def test_relief_is_of_a_believable_size_and_only_on_skin(template):
    atlas = make_atlas(template, 512)
    albedo = np.full((512, 512, 3), 0.5, np.float32)
    height = author_height(template, atlas, albedo, Detail(pores=1.0, wrinkles=1.0))
    assert np.abs(height).max() < 1e-3
    assert height[atlas.part == SKIN].std() > 2e-6
    assert np.abs(height[atlas.part != SKIN]).max() == 0


def test_wrinkles_follow_age(template, atlas):
    albedo = np.full((256, 256, 3), 0.5, np.float32)
    young, old = (
        author_height(template, atlas, albedo, Detail.of(AppearanceParameters(wrinkles=w, texture_seed=4)))
        for w in (0.0, 1.0)
    )
    furrows = wrinkle_height(template, atlas.rest[atlas.part == SKIN], 4)
    assert furrows.min() < -1e-4 and furrows.max() <= 0
    assert old.min() < young.min() - 1e-4


def test_drawn_hair_stands_in_relief(template, atlas):
    plain = np.full((256, 256, 3), 0.5, np.float32)
    drawn = plain.copy()
    drawn[::4] = 0.2
    scalp = atlas.points.interpolate(torch.from_numpy(template.regions["scalp"])[:, None])[:, 0].numpy() > 0.9
    flat, rough = (author_height(template, atlas, a, Detail(wrinkles=0))[scalp] for a in (plain, drawn))
    assert rough.std() > 3 * flat.std()
