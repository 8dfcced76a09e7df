"""Tiles cover an image evenly, cost little of an autoencoder's answer, and keep little for its gradient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional

from id3d_engine.priors.prior import Prior
from id3d_engine.priors.tiles import OVERLAP, blend, in_tiles, places, recomputed
from id3d_engine.render.cameras import sample_cameras
from id3d_engine.render.normals import render_normals
from id3d_engine.template import load_template


@pytest.mark.parametrize(("side", "tiles"), [(64, 2), (64, 3), (16, 2), (16, 3), (96, 3), (8, 3)])
def test_tiles_cover_a_side_and_count_one_in_sum(side: int, tiles: int) -> None:
    starts, size = places(side, tiles)
    assert (starts[0], starts[-1] + size, len(starts)) == (0, side, tiles)
    overlaps = [a + size - b for a, b in pairwise(starts)]
    assert min(overlaps) >= int(OVERLAP * size)
    shares = blend(starts, size, side, 8)
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(8 * side))
    for start, share in zip(starts, shares, strict=True):
        assert (share.nonzero().flatten() // 8).unique().tolist() == list(range(start, start + size))


def test_an_overlap_is_blended_linearly() -> None:
    starts, size = places(64, 2)
    share = blend(starts, size, 64, 1)[0]
    steps = share[starts[1] : size].diff()
    torch.testing.assert_close(steps, torch.full_like(steps, -1 / (size - starts[1])))


@pytest.mark.parametrize("tiles", [2, 3])
def test_what_sees_only_its_surroundings_is_the_whole_s_but_at_the_seams(tiles: int) -> None:
    torch.manual_seed(0)
    patch = nn.Conv2d(3, 4, 8, stride=8)  # sees a latent's own pixels
    around = nn.Sequential(patch, nn.Conv2d(4, 4, 3, padding=1))  # and a latent around
    x = torch.rand(2, 3, 128, 128)
    torch.testing.assert_close(in_tiles(patch, x, tiles, 8, 1), patch(x))
    found, whole = in_tiles(around, x, tiles, 8, 1), around(x)
    starts, size = places(16, tiles)
    seams = set(starts[1:]) | {start + size - 1 for start in starts[:-1]}
    inside = torch.tensor([i not in seams for i in range(16)])
    torch.testing.assert_close(found[..., inside, :][..., inside], whole[..., inside, :][..., inside])
    up = nn.ConvTranspose2d(4, 3, 8, stride=8)
    torch.testing.assert_close(in_tiles(up, whole, tiles, 1, 8), up(whole))


def test_of_an_autoencoder_norms_alone_tell_tiles_from_the_whole() -> None:
    """Stable Diffusion's encoder sees 13 latents around: further from the seams nothing differs."""
    torch.manual_seed(0)
    encoder = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, block_out_channels=(8,) * 4, norm_num_groups=4,
        layers_per_block=2, mid_block_add_attention=False,
    ).encoder.requires_grad_(False)  # fmt: skip
    x, far = torch.rand(1, 3, 512, 512), [*range(22), *range(42, 64)]

    def difference() -> Tensor:
        whole = encoder(x)
        return (in_tiles(encoder, x, 2, 8, 1) - whole)[..., far, :][..., far].abs().max() / whole.std()

    assert difference() > 0.01
    for module in encoder.modules():
        for name in [name for name, child in module.named_children() if isinstance(child, nn.GroupNorm)]:
            setattr(module, name, nn.Identity())
    assert difference() < 1e-5


def test_only_one_tile_s_activations_are_kept(make_prior: Callable[..., Prior]) -> None:
    """Counted as the bytes that autograd keeps until its backward pass."""
    prior = make_prior()
    images = torch.rand(2, 3, 64, 64, requires_grad=True)

    def kept(run: Callable[[], Tensor]) -> int:
        sizes = {}
        given = {p.untyped_storage().data_ptr() for p in [*prior.vae.parameters(), images]}

        def pack(x: Tensor) -> Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in given:
                sizes[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            run()
        return sum(sizes.values())

    whole = kept(lambda: prior._encode(images))
    tiled = kept(lambda: in_tiles(recomputed(prior._encode), images, 2, 8, 1))
    assert tiled < 0.01 * whole


@pytest.mark.parametrize(("tiles", "unexplained", "cosine"), [(2, 0.006, 0.98), (3, 0.025, 0.94)])
def test_with_the_shipped_autoencoder_little_is_lost(tiles: int, unexplained: float, cosine: float) -> None:
    """On a head's normals; what the two measure is in docs/production.md."""
    prior, template = Prior.load("starter", "geometry"), load_template()
    cameras = sample_cameras(3, torch.Generator().manual_seed(0))
    vertices, triangles = torch.from_numpy(template.vertices).float(), torch.from_numpy(template.triangles)
    images = render_normals(vertices, triangles, cameras, (prior.image_size,) * 2)[0].requires_grad_()
    side = prior.latent_size
    weights = torch.randn(3, 4, side, side, generator=torch.Generator().manual_seed(1))

    def looked() -> tuple[Tensor, Tensor, Tensor]:
        latents = prior.encode(images)
        (pull,) = torch.autograd.grad((latents * weights).sum(), images)
        return latents.detach(), pull, prior.decode(latents.detach())

    whole, before = looked(), prior.at_once
    prior.at_once = type(before)(2, 2, 2, tiles)
    latents, pull, decoded = looked()
    assert (latents - whole[0]).var() < unexplained * whole[0].var()
    assert functional.cosine_similarity(pull.flatten(), whole[1].flatten(), dim=0) > cosine
    assert (pull.abs().amax(dim=1) > 0).all()
    assert (decoded - images).square().mean().sqrt() < 1.8 * (whole[2] - images).square().mean().sqrt()
