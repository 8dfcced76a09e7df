"""The guide's losses, and both forms of distillation through a tiny but real prior."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.expressions import NEUTRAL
from id3d_engine.geometry.guide import PriorGuide, fit_latents, fit_to, shrink
from id3d_engine.priors.adapter_files import AdapterConfig
from id3d_engine.priors.adapters import Adapter
from id3d_engine.priors.guidance import Ramp
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.quick_encoder import QuickEncoder
from id3d_engine.priors.training.starter_base import StarterConfig, build_starter_base
from id3d_engine.render.cameras import orbit

SMALL = StarterConfig(
    image_size=32, vae_channels=(8, 8), vae_groups=4, unet_channels=(16, 16), head_channels=8,
    unet_groups=8, text_width=16, text_layers=1, text_heads=2, text_length=16, merges=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def prior() -> Prior:
    torch.manual_seed(0)
    base = build_starter_base(["a head, front view", "a neutral face"], SMALL)
    config = AdapterConfig("geometry", "dlib", 8, prediction=base.scheduler.config.prediction_type, rank=2)
    return Prior(base, Adapter(base.unet, config.sizes), config)


def guide(prior: Prior, form: str) -> PriorGuide:
    return PriorGuide(prior, torch.ones(8), "a head", form, Ramp(0.6, 0.3, 0, 10), 2, 1.5, 0.5, 16, 0.5)


def look(prior: Prior, form: str, seed: int = 0):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(seed)
    cameras = orbit(torch.tensor([0.0, 90.0]))
    return images, guide(prior, form).look(lambda: images, NEUTRAL, cameras, 0, generator)


def test_fitting_asks_for_the_change_of_the_first_render():
    images, targets = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    targets[:, :, 2:6, 2:6] = torch.tensor([0.5, 0.5, 1.0])[None, :, None, None]
    loss = fit_to(images, targets, 8, mask_weight=0.5)
    # A first render that differs from the image, as a smaller one does, is not asked to be the image.
    first, empty = torch.full((1, 3, 8, 8), 0.02), torch.zeros(1, 1, 8, 8)
    covered = (targets[:, 2:] > 0).float()
    assert loss(first, empty).item() == pytest.approx(float(targets.square().mean() + 0.5 * covered.mean()))
    assert loss(first + targets, covered).item() == pytest.approx(0, abs=1e-12)
    assert loss(first + targets + 0.1, covered).item() == pytest.approx(0.01, rel=1e-4)
    nothing = fit_to(images, images, 4, mask_weight=0.5)
    assert nothing(torch.rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4)).item() == 0


def test_shrinking_averages_and_never_enlarges():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(shrink(image, 2), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))
    assert shrink(image, 9) is image


def test_refined_fits_smaller_renders_to_the_priors_images(prior):
    _, loss = look(prior, "refined")
    rendered = torch.rand(2, 3, 16, 16, requires_grad=True)
    loss(rendered, torch.ones(2, 1, 16, 16)).backward()
    assert torch.isfinite(rendered.grad).all()
    assert rendered.grad.abs().max() > 0
    fixed, mask = torch.full((2, 3, 16, 16), 0.5), torch.ones(2, 1, 16, 16)
    one, again, other = (look(prior, "refined", seed)[1](fixed, mask).item() for seed in (0, 0, 1))
    assert one == again != other


def test_plain_distils_at_the_priors_own_size(prior):
    assert guide(prior, "plain").fit_size == guide(prior, "plain").image_size == 32
    images, loss = look(prior, "plain")
    images = images.requires_grad_()
    loss(images, torch.ones(2, 1, 32, 32)).backward()
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().max() > 0


def test_plain_reads_renders_by_the_quick_encoder_in_its_first_rounds(prior):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    quick = replace(guide(prior, "plain"), quick=QuickEncoder.fit(prior, images), quick_rounds=1)
    cameras, pulls = orbit(torch.tensor([0.0, 90.0])), []
    for form, step in ((quick, 0), (guide(prior, "plain"), 0), (quick, 1), (guide(prior, "plain"), 1)):
        leaf = images.clone().requires_grad_()
        generator = torch.Generator().manual_seed(0)
        form.look(lambda: images, NEUTRAL, cameras, step, generator)(leaf, images[:, :1]).backward()
        pulls.append(leaf.grad)
    assert not torch.allclose(pulls[0], pulls[1], rtol=1e-2)
    torch.testing.assert_close(pulls[2], pulls[3])


def test_renders_are_no_larger_than_the_priors_images(prior):
    assert replace(guide(prior, "refined"), fit_size=128).fit_size == 32


def test_refined_compares_latents_in_its_quick_rounds(prior):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    quick = QuickEncoder.fit(prior, images)
    asked = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(4))
    loss = fit_latents(quick, asked)
    masks = images[:, :1]
    # The first render is what is asked to change; an error counts as one of colours.
    assert loss(images, masks).item() == pytest.approx(quick.scale * float(asked.square().mean()), rel=1e-4)
    assert loss(images, masks).item() == loss(images, masks).item()
    guided = replace(guide(prior, "refined"), quick=quick, quick_rounds=1)
    cameras, generator = orbit(torch.tensor([0.0, 90.0])), torch.Generator().manual_seed(0)
    rendered = images[..., ::2, ::2].clone().requires_grad_()
    loss = guided.look(lambda: images, NEUTRAL, cameras, 0, generator)
    loss(rendered, masks).backward()
    assert torch.isfinite(rendered.grad).all() and rendered.grad.abs().max() > 0


def test_an_unknown_form_is_refused(prior):
    with pytest.raises(InputError, match="choose refined or plain"):
        guide(prior, "fancy")
