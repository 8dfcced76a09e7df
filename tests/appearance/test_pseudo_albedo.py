from dataclasses import replace

import numpy as np
import pytest
import torch

from id3d_engine.appearance.pseudo_albedo import film, lobe, look, pseudo_albedo
from id3d_engine.appearance.psi_a import ROUGHNESS, SPECULAR
from id3d_engine.render.cameras import orbit
from id3d_engine.render.lights import directional, preset


@pytest.fixture(scope="module")
def head(template):
    return tuple(
        torch.from_numpy(np.asarray(a)) for a in (template.vertices, template.triangles, template.triangle_uv)
    )


def some_views(head, lights, size=40):
    return look(*head, orbit(torch.tensor([20.0, -70.0])), lights, size)


def material(views, specular=0.5, roughness=0.4):
    generator = torch.Generator().manual_seed(0)
    out = torch.rand(len(views.view), 5, generator=generator) * 0.8 + 0.1
    out[:, ROUGHNESS], out[:, SPECULAR] = roughness, specular
    return out


def shown(values, views):
    return pseudo_albedo(values, lobe(values, views, film(values, views)))


@pytest.mark.parametrize("name", ["front", "back", "direct", "diffuse"])
def test_a_matt_head_shows_its_albedo_under_any_light(head, name):
    views = some_views(head, preset(name))
    values = material(views, specular=0.0)
    assert torch.allclose(shown(values, views), values[:, :3], atol=1e-5)


def test_relit_from_behind_the_albedo_is_unchanged_outside_highlights(head):
    values = material(some_views(head, preset("front")))
    front, back = (shown(values, some_views(head, preset(name))) for name in ("front", "back"))
    both_plain = (front - values[:, :3]).abs().amax(1) + (back - values[:, :3]).abs().amax(1) < 1e-4
    assert both_plain.float().mean() > 0.2
    assert (front >= values[:, :3] - 1e-5).all() and (back >= values[:, :3] - 1e-5).all()


def test_highlights_add_light_and_rough_skin_has_fewer(head):
    views = some_views(head, directional([[0.3, -1.0, 0.3]], [[3.0, 3.0, 3.0]]))
    glossy, rough = (material(views, roughness=r) for r in (0.2, 0.9))
    added = [(shown(m, views) - m[:, :3]).amax() for m in (glossy, rough)]
    assert added[0] > 0.1 and added[0] > 2 * added[1]


def test_the_lobe_moves_as_the_renderer_says(head):
    views = some_views(head, preset("studio"))
    here = material(views)
    whole = film(here, views)
    moved = here.clone()
    moved[:, ROUGHNESS] += 0.01
    moved[:, SPECULAR] -= 0.02
    near = lobe(here, views, whole).at(moved[:, ROUGHNESS, None], moved[:, SPECULAR, None])
    exact = lobe(moved, views, whole).value.clamp(min=0)
    still = lobe(here, views, whole).value.clamp(min=0)
    assert (near - exact).abs().mean() < 0.15 * (still - exact).abs().mean()


def test_a_highlight_teaches_the_surface_and_not_the_albedo(head):
    views = some_views(head, directional([[0.3, -1.0, 0.3]], [[3.0, 3.0, 3.0]]))
    values = material(views, roughness=0.3).requires_grad_()
    highlight = lobe(values, views, film(values.detach(), views))
    glare = highlight.value.clamp(min=0).mean(1)
    pseudo_albedo(values, highlight).sum().backward()
    albedo = values.grad[:, :3].mean(1)
    bright, dark = glare > 0.05, highlight.value.amax(1) < -1e-6
    assert bright.any() and dark.any()
    assert albedo[bright].abs().mean() < 0.2 * albedo[dark].abs().mean()
    assert values.grad[bright, SPECULAR].mean() > 0
    assert values.grad[dark, SPECULAR].abs().max() == 0


def test_some_pixels_are_as_the_whole(head):
    views = some_views(head, preset("studio"))
    values = material(views)
    whole = film(values, views)
    pick = torch.arange(0, len(values), 7)
    part = pseudo_albedo(values[pick], lobe(values[pick], views.take(pick), whole))
    assert torch.allclose(part, pseudo_albedo(values, lobe(values, views, whole))[pick], atol=1e-6)


def test_outlines_and_grazing_pixels_teach_less(head):
    views = some_views(head, preset("front"))
    image = views.spread(views.weight)
    mask = views.surface.mask
    edge = mask - (1 - torch.nn.functional.max_pool2d(1 - mask, 3, 1, 1))
    assert image[edge > 0].max() == 0
    assert image.max() == 1


def test_pictures_are_black_off_the_head(head):
    views = replace(some_views(head, preset("front")))
    picture = views.picture(torch.ones(len(views.view), 3))
    assert picture[:, :, 0, 0].abs().max() == 0 and picture.max() <= 1 + 1e-6
