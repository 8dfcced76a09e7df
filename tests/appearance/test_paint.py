from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from id3d_engine.appearance import paint as paint_module
from id3d_engine.appearance.atlas import make_atlas
from id3d_engine.appearance.canvas import Canvas, tone_texels
from id3d_engine.appearance.guide import target_term
from id3d_engine.appearance.paint import bake, draw_views, fit
from id3d_engine.appearance.pseudo_albedo import film, lobe, look, pseudo_albedo
from id3d_engine.appearance.psi_a import PsiAConfig
from id3d_engine.appearance.settings import Between, PaintConfig, Weights
from id3d_engine.errors import Cancelled, InputError
from id3d_engine.expressions import select
from id3d_engine.job import Job
from id3d_engine.render.cameras import orbit
from id3d_engine.render.lights import directional, uniform
from id3d_engine.render.raster import sample_texture
from id3d_engine.rig.units import pose
from id3d_engine.template import SKIN

# A perfect prior may be followed closely; the defaults are for real ones.
LOOSE = Weights(smooth=0.008, symmetry=2e-3, pull=Between(4e-3, 5e-4))
SMALL = PaintConfig(
    size=256,
    grid=64,
    bake_grid=64,
    rounds=10,
    views=5,
    inner_steps=8,
    learning_rate=Between(2e-2, 5e-3),
    weights=LOOSE,
)
NET = PsiAConfig(anchors=96, width=48, blocks=1)


def albedo(textures):
    return torch.from_numpy(np.ascontiguousarray(textures.albedo_srgb.transpose(2, 0, 1)))


def oracle(goal):
    """A perfect prior: it answers every render with the known albedo, unlit."""
    known = albedo(goal)

    def guide(pixels, here):
        wanted = sample_texture(known, here.views.surface.uv)
        return target_term(here.views.gather(wanted), here.views.weight)

    return guide


def at(image, template):
    return image.reshape(-1, *image.shape[2:])[make_atlas(template, 256).texel.numpy()]


@pytest.fixture(scope="module")
def painted(template, start, goal):
    job = Job(seed=0)
    canvas = fit(template.vertices, {}, template, start, oracle(goal), [], SMALL, job, 48, NET)
    return bake(canvas, template.vertices, template, start, [], SMALL)


def test_painting_finds_a_known_albedo(template, skin, start, goal, painted):
    before = np.abs(at(start.albedo_srgb, template) - at(goal.albedo_srgb, template))[skin]
    after = np.abs(at(painted.albedo_srgb, template) - at(goal.albedo_srgb, template))[skin]
    assert after.mean() < before.mean() / 3


def test_a_known_tone_stays_while_features_are_painted(template, start, goal):
    """A prior that also wants another skin colour gets its features alone."""
    known = albedo(goal)
    atlas = make_atlas(template, 256)
    tone = tone_texels(template, atlas).numpy()

    def darker(pixels, here):
        wanted = 0.6 * sample_texture(known, here.views.surface.uv)
        return target_term(here.views.gather(wanted), here.views.weight)

    moved = {}
    for keep in (False, True):
        canvas = fit(
            template.vertices, {}, template, start, darker, [], SMALL, Job(seed=0), 48, NET, keep_tone=keep
        )
        maps = bake(canvas, template.vertices, template, start, [], SMALL)
        moved[keep] = at(maps.albedo_srgb, template) - at(start.albedo_srgb, template)
    assert moved[False][tone].mean() < -0.05
    assert np.abs(moved[True][tone].mean(axis=0)).max() < 0.02
    assert np.abs(moved[True][tone]).mean() > 0.005  # features it has


def test_no_shadow_is_burnt_in(template, skin, shading, start, goal, monkeypatch):
    """Under one hard light from the side, always, the paint is what it is under no shading at all.

    A shadow painted in would show as a slope of some 0.3 sRGB from unlit to lit.
    """

    def run(lights):
        monkeypatch.setattr(paint_module, "sample_lights", lambda count, generator: lights)
        config = replace(SMALL, rounds=4, grid=48)
        canvas = fit(template.vertices, {}, template, start, oracle(goal), [], config, Job(seed=0), 48, NET)
        maps = bake(canvas, template.vertices, template, start, [], config)
        return at(maps.albedo_srgb, template)[skin].mean(1)

    side = directional([[0.8, -0.6, 0.0]], [[3.0, 3.0, 3.0]]) + uniform(0.1)
    difference = run(side) - run(uniform(0.6))
    for light in shading[skin].T:
        assert abs(np.polyfit(light, difference, 1)[0]) < 0.02


@pytest.mark.slow
def test_the_draft_preset_finds_a_known_albedo(template, skin, shading, start, goal):
    config = replace(PaintConfig.preset("draft"), size=256, weights=LOOSE, learning_rate=Between(8e-3, 2e-3))
    canvas = fit(template.vertices, {}, template, start, oracle(goal), [], config, Job(seed=0), 128)
    maps = bake(canvas, template.vertices, template, start, [], config)
    error = (at(maps.albedo_srgb, template) - at(goal.albedo_srgb, template))[skin]
    before = (at(start.albedo_srgb, template) - at(goal.albedo_srgb, template))[skin]
    assert np.abs(error).mean() < np.abs(before).mean() / 3
    for light in shading[skin].T:
        assert abs(np.polyfit(light, error.mean(1), 1)[0]) < 0.03


def test_the_fine_grain_of_the_start_survives(template, start, painted):
    # Beside each other, texels differ by their grain; the residual moves them alike.
    def grain(image):
        line = image[100, 80:176].mean(1)
        return line[1:] - line[:-1]

    assert np.corrcoef(grain(start.albedo_srgb), grain(painted.albedo_srgb))[0, 1] > 0.8


def test_eyes_stay_as_authored_but_for_a_tint(template, start, painted):
    eye = make_atlas(template, 256).part != SKIN
    before, after = at(start.albedo_srgb, template)[eye], at(painted.albedo_srgb, template)[eye]
    assert np.abs(after - before).max() < 0.12
    assert np.allclose(at(painted.roughness, template)[eye], 0.5, atol=1e-3)


def test_maps_are_arrays_in_range(painted):
    for name, shape in (("albedo_srgb", (256, 256, 3)), ("roughness", (256, 256)),
                        ("specular", (256, 256)), ("normal", (256, 256, 3))):  # fmt: skip
        value = getattr(painted, name)
        assert value.shape == shape and value.dtype == np.float32
        assert value.min() >= 0 and value.max() <= 1 and np.isfinite(value).all()
    assert painted.roughness.min() >= 0.05 - 1e-6


def test_no_rounds_give_the_start_back(template, start):
    canvas = fit(
        template.vertices, {}, template, start, oracle(start), [], replace(SMALL, rounds=0), Job(), 48, NET
    )
    maps = bake(canvas, template.vertices, template, start, [], SMALL)
    assert np.abs(at(maps.albedo_srgb, template) - at(start.albedo_srgb, template)).max() < 1e-4


def test_each_expression_gets_its_own_maps(template, skin, start):
    """An oracle that wants red cheeks on a smile and the start on the neutral."""
    smile = select("smile")
    red, plain = albedo(start) + torch.tensor([0.0, -0.2, -0.2])[:, None, None], albedo(start)

    def guide(pixels, here):
        smiling = torch.tensor([e.name == "smile" for e in here.expressions])[here.views.view]
        a, b = (here.views.gather(sample_texture(x, here.views.surface.uv)) for x in (red, plain))
        return target_term(torch.where(smiling[:, None], a, b), here.views.weight)

    config = replace(SMALL, grid=32, per_expression=True, rounds=5, views=4, weights=Weights(own=0.0))
    shape = {"smile": pose(template.arkit, smile[0].recipe)}
    canvas = fit(template.vertices, shape, template, start, guide, smile, config, Job(seed=1), 32, NET)
    maps = bake(canvas, template.vertices, template, start, smile, config)
    before = at(start.albedo_srgb, template)[skin].mean(0)
    smiling = at(maps.sets["smile"].albedo_srgb, template)[skin].mean(0) - before
    neutral = at(maps.albedo_srgb, template)[skin].mean(0) - before
    assert list(maps.sets) == ["smile"]
    assert smiling[1] < -0.1 and smiling[1] < 2 * neutral[1]


def test_views_depend_on_seed_and_round_alone(template):
    shape = {"smile": np.zeros_like(template.vertices)}
    args = (template.vertices, shape, template, select("smile"), SMALL)
    one, cameras, shown = draw_views(*args, Job(seed=3).generator("paint", 4), 32)
    same, _, shown_again = draw_views(*args, Job(seed=3).generator("paint", 4), 32)
    other, _, _ = draw_views(*args, Job(seed=3).generator("paint", 5), 32)
    assert torch.equal(one.uv, same.uv) and shown == shown_again
    assert one.uv.shape != other.uv.shape or not torch.equal(one.uv, other.uv)
    assert len(cameras) == SMALL.views and set(cameras.closeup) - {""}


def test_a_killed_job_resumes_to_the_same_maps(template, start, goal, tmp_path):
    config = replace(SMALL, rounds=4, inner_steps=2)

    def run(job):
        return fit(template.vertices, {}, template, start, oracle(goal), [], config, job, 32, NET)

    whole = run(Job(tmp_path / "whole", seed=5))
    job = Job(tmp_path / "killed", seed=5)
    calls = []

    def stop(pixels, here):
        calls.append(here.number)
        if here.number == 1:
            job.cancel.set()
        return oracle(goal)(pixels, here)

    with pytest.raises(Cancelled, match="--resume"):
        fit(template.vertices, {}, template, start, stop, [], config, job, 32, NET)
    assert calls == [0, 1]
    resumed = run(Job(tmp_path / "killed", seed=5))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (replace(SMALL, method="magic"), "unknown painting method"),
        (replace(SMALL, views=0), "painting setting views is 0"),
    ],
)
def test_settings_that_cannot_work_are_said(config, text):
    with pytest.raises(InputError, match=text):
        config.checked()


def test_an_unknown_preset_is_said():
    with pytest.raises(InputError, match="unknown preset"):
        PaintConfig.preset("best")
    assert PaintConfig.preset("high").size == 4096


def test_two_views_equal_two_runs_of_one(template, start):
    vertices, tri, uv = (
        torch.from_numpy(np.asarray(a)) for a in (template.vertices, template.triangles, template.triangle_uv)
    )
    lights = directional([[0.5, -1.0, 0.5]], [[3.0, 2.8, 2.6]]) + uniform(0.2)
    canvas = Canvas(template, start, 1, 32, 32, torch.Generator().manual_seed(0), config=NET)
    images = []
    for azimuths in ([10.0, 60.0], [10.0], [60.0]):
        views = look(vertices, tri, uv, orbit(torch.tensor(azimuths)), lights, 32)
        material = canvas.material(canvas.residual(torch.tensor([0])), views, canvas.start_pixels(views))
        images.append(views.picture(pseudo_albedo(material, lobe(material, views, film(material, views)))))
    assert torch.allclose(images[0], torch.cat(images[1:]), atol=1e-5)


def test_whoever_listens_sees_the_paint_and_changes_nothing(template, start, goal, tmp_path):
    heard, config = [], replace(SMALL, rounds=2, grid=48, inner_steps=2)

    def run(job):
        canvas = fit(template.vertices, {}, template, start, oracle(goal), [], config, job, 48, NET)
        return bake(canvas, template.vertices, template, start, [], config)

    followed, alone = run(Job(tmp_path, listener=heard.append)), run(Job())
    assert np.array_equal(followed.albedo_srgb, alone.albedo_srgb)
    shown = [progress for progress in heard if progress.preview]
    assert [bool(progress.surface) for progress in shown] == [True, False]
    with Image.open(shown[-1].preview) as picture:
        pixels = np.asarray(picture.convert("RGB"), float) / 255
    assert pixels.shape == (320, 320, 3)
    face = pixels[60:100, 60:100].mean((0, 1))  # of the front view: skin under the studio's light
    assert face[0] > face[1] > face[2] > 0.2
