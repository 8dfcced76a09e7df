from dataclasses import replace

import numpy as np
import pytest

from id3d_engine.assets.anatomy import anatomy
from id3d_engine.assets.appearance import VECTOR_NAMES, AppearanceParameters, style_logits
from id3d_engine.assets.skin import author_textures, skin_fields
from id3d_engine.assets.texels import texels
from id3d_engine.errors import InputError
from id3d_engine.template import EYE

BARE = AppearanceParameters(style_logits=style_logits("bald"), redness=0.0, hair_grey=1.0)


def at(template, image, mask):
    """Mean over the covered texels in a mask."""
    flat = image.reshape(image.shape[0] ** 2, -1)
    return flat[texels(template, image.shape[0]).index][mask].mean(axis=0)


def test_same_appearance_same_texture_and_seed_moves_details(template):
    one = author_textures(template, BARE, 64)
    again = author_textures(template, replace(BARE), 64)
    other = author_textures(template, replace(BARE, texture_seed=9), 64)
    assert np.array_equal(one.albedo_srgb, again.albedo_srgb)
    assert not np.array_equal(one.albedo_srgb, other.albedo_srgb)
    assert one.albedo_srgb.shape == (64, 64, 3) and one.roughness.shape == one.specular.shape == (64, 64)


def test_any_vector_gives_a_finite_texture_in_range(template):
    random = np.random.default_rng(4)
    for scale in (1.0, 30.0):
        vector = scale * random.standard_normal(len(VECTOR_NAMES))
        maps = author_textures(template, AppearanceParameters.from_vector(vector), 64)
        for image in (maps.albedo_srgb, maps.roughness, maps.specular):
            assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1


def test_melanin_darkens_the_skin(template):
    f = skin_fields(template, 64)
    cheek = (f.redness > 0.5) & (f.ears < 0.1)
    tones = [at(template, author_textures(template, replace(BARE, melanin=m), 64).albedo_srgb, cheek).mean()
             for m in (0.0, 0.5, 1.0)]  # fmt: skip
    assert tones[0] > tones[1] + 0.1 > tones[2] + 0.2


def test_a_beard_darkens_the_jaw_alone(template):
    f = skin_fields(template, 128)
    dark = replace(BARE, hair_melanin=1.0, hair_grey=0.0)
    without = author_textures(template, dark, 128).albedo_srgb
    bearded = author_textures(template, replace(dark, beard=1.0, moustache=1.0), 128).albedo_srgb
    forehead = texels(template, 128).points[:, 2] > anatomy(template).eye[2] + 0.03
    assert at(template, without, f.jaw > 0.8).mean() > at(template, bearded, f.jaw > 0.8).mean() + 0.2
    assert np.allclose(at(template, without, forehead), at(template, bearded, forehead), atol=1e-6)


def test_hair_covers_the_scalp_but_not_the_face(template):
    f = skin_fields(template, 128)
    long = replace(BARE, style_logits=style_logits("short"), hair_melanin=1.0, hair_grey=0.0)
    bald, haired = (author_textures(template, a, 128).albedo_srgb for a in (BARE, long))
    top = f.skull.height > 0.95
    nose = f.redness > 0.6
    assert at(template, haired, top).mean() < 0.25 < at(template, bald, top).mean()
    assert np.allclose(
        at(template, haired, nose & (f.ears < 0.05)), at(template, bald, nose & (f.ears < 0.05))
    )


def test_pupils_are_round_central_and_alike(template):
    size = 512
    look = replace(BARE, iris_melanin=0.0)
    image = author_textures(template, look, size).albedo_srgb.reshape(-1, 3)
    texel = texels(template, size)
    a = anatomy(template)
    lids = (a.upper_lid[2] + a.lower_lid[2]) / 2
    eyes = texel.part == EYE
    step = float(np.median(texel.extent[eyes]))
    assert step < 0.0015
    black = eyes & (image[texel.index].max(axis=1) < 0.08)
    radii = []
    for sign in (1, -1):
        pupil = texel.points[black & (sign * texel.points[:, 0] > 0)]
        centre = (pupil.min(axis=0) + pupil.max(axis=0)) / 2
        assert abs(sign * centre[0] - a.eye[0]) < 0.0006
        assert abs(centre[2] - lids) < 0.0009
        width, height = np.ptp(pupil[:, 0]), np.ptp(pupil[:, 2])
        assert abs(width - height) <= step
        radii.append(width / 2)
    assert abs(radii[0] - radii[1]) <= step


def test_both_sides_of_a_seam_have_the_same_colour(template):
    """Vertices that lie on a seam appear at two places of the texture."""
    size = 512
    look = replace(BARE, freckles=0.0, unevenness=0.0, style_logits=style_logits("long"))
    image = author_textures(template, look, size).albedo_srgb
    uv = template.uv.reshape(-1, 2)
    vertex = template.faces.reshape(-1)
    order = np.lexsort((uv[:, 1], uv[:, 0], vertex))
    vertex, uv = vertex[order], uv[order]
    seam = np.flatnonzero((vertex[1:] == vertex[:-1]) & (np.abs(np.diff(uv, axis=0)).max(axis=1) > 0.05))
    back = template.regions["scalp"][vertex[seam]] > 0.9
    seam = seam[back]
    assert len(seam) > 5

    def colours(index):
        row = np.clip(((1 - uv[index, 1]) * size).astype(int), 0, size - 1)
        column = np.clip((uv[index, 0] * size).astype(int), 0, size - 1)
        return image[row, column]

    assert np.abs(colours(seam) - colours(seam + 1)).mean() < 0.05


def test_texture_sizes_agree_on_the_whole(template):
    look = AppearanceParameters(style_logits=style_logits("bob"))
    small = author_textures(template, look, 64).albedo_srgb
    large = author_textures(template, look, 256).albedo_srgb.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(small - large).mean() < 0.035


def test_wet_and_dry_parts_differ_in_roughness(template):
    f = skin_fields(template, 128)
    maps = author_textures(template, BARE, 128)
    eye = at(template, maps.roughness, f.texel.part == EYE)
    lips = at(template, maps.roughness, (f.lips > 0.9) & (f.skin > 0.5))
    skin = at(template, maps.roughness, (f.jaw > 0.8) & (f.lips < 0.1))
    assert eye < 0.15 < lips < skin < 0.7


def test_a_silly_size_is_refused(template):
    with pytest.raises(InputError, match="choose 16 to 8192"):
        author_textures(template, BARE, 4)
