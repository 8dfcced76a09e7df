"""Painting through a real, tiny, untrained prior: what is checked is the plumbing, not the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from id3d_engine.appearance.detail import Detail
from id3d_engine.appearance.guide import prior_guide, target_term
from id3d_engine.appearance.paint import paint
from id3d_engine.appearance.settings import PaintConfig
from id3d_engine.errors import InputError
from id3d_engine.expressions import select
from id3d_engine.job import Job
from id3d_engine.priors.adapter_files import AdapterConfig
from id3d_engine.priors.adapters import Adapter
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.training.starter_base import build_starter_base
from id3d_engine.rig.units import pose

CONFIG = PaintConfig(size=128, grid=32, bake_grid=32, rounds=2, views=2, inner_steps=2, denoise_steps=2)


@pytest.fixture(scope="module")
def priors(tiny):
    torch.manual_seed(0)
    made = {}
    for domain in ("albedo", "geometry"):
        base = build_starter_base(["a head, front view, albedo map", "a broad grin"], tiny)
        config = AdapterConfig(domain, "dlib", 8, rank=2)
        made[domain] = Prior(base, Adapter(base.unet, config.sizes), config)
    return made


def run(priors, template, start, config=CONFIG, domain="albedo", cast=None, seed=0):
    cast = select("smile") if cast is None else cast
    return paint(
        template.vertices,
        {"smile": pose(template.arkit, select("smile")[0].recipe)},
        template,
        start,
        priors[domain],
        np.zeros(8, np.float32),
        cast,
        "a head",
        config,
        Job(seed=seed),
        Detail(),
    )


@pytest.mark.parametrize("method", ["refined", "sds"])
def test_both_methods_paint_the_same_way_twice(priors, template, start, method):
    config = replace(CONFIG, method=method)
    one, same, other = (run(priors, template, start, config, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one.albedo_srgb, same.albedo_srgb)
    assert not np.array_equal(one.albedo_srgb, other.albedo_srgb)
    assert np.isfinite(one.albedo_srgb).all() and one.albedo_srgb.shape == (128, 128, 3)


def test_one_step_does_not_leap_away_from_the_start(priors, template, start):
    maps = run(priors, template, start, replace(CONFIG, rounds=1, inner_steps=1, method="sds"))
    none = run(priors, template, start, replace(CONFIG, rounds=0))
    assert 0 < np.abs(maps.albedo_srgb - none.albedo_srgb).mean() < 0.02


def test_a_prior_that_changes_nothing_asks_for_nothing(priors, template, start, monkeypatch):
    """Neither the autoencoder's blur nor the picture's antialiasing is painted."""
    from id3d_engine.appearance.guide import Round
    from id3d_engine.appearance.paint import draw_views
    from id3d_engine.priors import guidance as module

    monkeypatch.setattr(module, "refined_latents", lambda prior, latents, *args, **kwargs: latents)
    job = Job(seed=2)
    views, cameras, shown = draw_views(
        template.vertices, {}, template, [], CONFIG, job.generator("paint", 0), 64
    )
    pixels = torch.rand(len(views.view), 3, generator=torch.Generator().manual_seed(0))
    guide = prior_guide(priors["albedo"], None, None, CONFIG, job.generator)
    term = guide(pixels, Round(0, 0.0, views, cameras, shown))
    everything = torch.arange(len(pixels))
    assert term(pixels, everything) < 1e-10
    assert term(pixels + 0.1, everything) > 1e-4


def test_a_target_weighs_its_pixels():
    targets, weight = torch.zeros(4, 3), torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    term = target_term(targets, weight)
    render = torch.tensor([0.5, 0.5, 9.0, 9.0])[:, None].expand(4, 3)
    whole = term(render, torch.arange(4))
    assert whole == pytest.approx(0.25 * 6 / 7)
    assert term(render[2:], torch.tensor([2, 3])) == 0


def test_a_prior_of_another_domain_is_refused(priors, template, start):
    with pytest.raises(InputError, match="needs the albedo prior, got the geometry one"):
        run(priors, template, start, domain="geometry")


def test_an_expression_without_a_shape_is_refused(priors, template, start):
    with pytest.raises(InputError, match="no shape for 'grin'"):
        run(priors, template, start, cast=select("grin"))
