"""The linear stand-in for the autoencoder's encoder, against the shipped prior's own encoder."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from id3d_engine.assets.sampler import sample_asset
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.quick_encoder import QuickEncoder
from id3d_engine.render.cameras import sample_cameras
from id3d_engine.render.normals import render_normals
from id3d_engine.template import load_template


@pytest.fixture(scope="module")
def prior() -> Prior:
    return Prior.load("starter", "geometry")


@pytest.fixture(scope="module")
def quick(prior: Prior) -> QuickEncoder:
    return QuickEncoder.fit(prior, renders(prior, seed=0, count=6))


def renders(prior: Prior, seed: int, count: int) -> Tensor:
    template = load_template()
    cameras = sample_cameras(count, torch.Generator().manual_seed(seed))
    vertices = torch.from_numpy(sample_asset(template, seed).neutral).float()
    size = (prior.image_size,) * 2
    return render_normals(vertices, torch.from_numpy(template.triangles), cameras, size)[0]


@torch.no_grad()
def test_it_reads_another_persons_renders_nearly_as_the_encoder_does(
    prior: Prior, quick: QuickEncoder
) -> None:
    images = renders(prior, seed=1, count=3)
    truth, read = prior.encode(images), quick(images)
    assert read.shape == truth.shape
    unexplained = (read - truth).square().mean() / truth.var(dim=(0, 2, 3)).mean()
    assert unexplained < 0.06


def test_its_gradient_pulls_where_the_encoders_does(prior: Prior, quick: QuickEncoder) -> None:
    images = renders(prior, seed=2, count=2).requires_grad_()
    shape = prior.encode(images).shape
    coarse = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    wanted = functional.interpolate(coarse, size=shape[-2:], mode="bilinear")
    pulls = [torch.autograd.grad((read(images) * wanted).sum(), images)[0] for read in (prior.encode, quick)]
    patches = [functional.avg_pool2d(pull, prior.image_size // prior.latent_size) for pull in pulls]
    assert functional.cosine_similarity(*(p.flatten() for p in patches), dim=0) > 0.85
