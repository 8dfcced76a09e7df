"""A prior of real classes, small enough for tests: 64 px images, 8x8 latents."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from id3d_engine.digest import sha256_of
from id3d_engine.expressions import EXPRESSIONS
from id3d_engine.priors.adapter_files import UNET_FILE, AdapterConfig, save_adapter
from id3d_engine.priors.adapters import Adapter, AdapterSizes, attention_layers
from id3d_engine.priors.base import Base, save_base
from id3d_engine.priors.low_rank import linear_of
from id3d_engine.priors.prior import Prior
from id3d_engine.priors.prompts import DOMAINS, prompt
from id3d_engine.priors.training.dataset import DatasetConfig, build_dataset
from id3d_engine.priors.training.starter_base import StarterConfig, build_starter_base

DIMENSION = 8  # of a test identity


@pytest.fixture(scope="session")
def _base(tiny: StarterConfig) -> Base:
    torch.manual_seed(0)
    texts = [
        prompt("a young woman with freckles", "front view", d, e.descriptor)
        for e in EXPRESSIONS
        for d in DOMAINS
    ]
    base = build_starter_base(texts, tiny)
    base.unet.eval()
    base.text_encoder.eval()
    return base


@pytest.fixture
def base(_base: Base) -> Base:
    """A base of its own for each test."""
    unet, vae, text_encoder, scheduler = copy.deepcopy(
        (_base.unet, _base.vae, _base.text_encoder, _base.scheduler)
    )
    return Base(unet, vae, text_encoder, _base.tokenizer, scheduler)


@pytest.fixture
def make_prior(base: Base) -> Callable[..., Prior]:
    """make_prior(domain, trained=True): a prior whose adapter has random (or fresh) weights."""

    def make(domain: str = "geometry", *, trained: bool = True) -> Prior:
        config = AdapterConfig(domain, "dlib", DIMENSION, rank=2)
        return Prior(
            base, trained_adapter(base, config) if trained else Adapter(base.unet, config.sizes), config
        )

    return make


@pytest.fixture(scope="session")
def prior_folder(_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete prior on disk, both domains."""
    folder = tmp_path_factory.mktemp("prior")
    save_base(_base, folder)
    for domain in DOMAINS:
        config = AdapterConfig(
            domain,
            "dlib",
            DIMENSION,
            base="tiny",
            base_sha256=sha256_of(folder / UNET_FILE),
            rank=2,
            resolution=64,
        )
        save_adapter(trained_adapter(_base, config), config, folder)
    return folder


def trained_adapter(base: Base, config: AdapterConfig) -> Adapter:
    generator = torch.Generator().manual_seed(len(config.domain))
    adapter = Adapter(base.unet, config.sizes)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return adapter


DATASET = DatasetConfig(subjects=1, views=4, photos=1, image_size=64, subjects_per_shard=1)


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real dataset of one head, four views of it at 64 px."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("dataset")
    build_dataset(folder, DATASET)
    return folder


def faceid_weights(base: Base, tokens: int, rank: int) -> dict[str, Tensor]:
    """Random weights in the published layout, for a tiny UNet; no low-rank updates for rank 0."""
    g = torch.Generator().manual_seed(0)
    sizes = AdapterSizes(DIMENSION, tokens, projector_width=12)
    shapes = {
        f"image_proj.{k}": tuple(v.shape)
        for k, v in Adapter(base.unet, sizes).image_proj.state_dict().items()
    }
    for i, attention in enumerate(attention_layers(base.unet).values()):
        for name in ("to_q", "to_k", "to_v", "to_out") if rank else ():
            outputs, inputs = linear_of(attention, name).weight.shape
            shapes[f"ip_adapter.{i}.{name}_lora.down.weight"] = (rank, inputs)
            shapes[f"ip_adapter.{i}.{name}_lora.up.weight"] = (outputs, rank)
        if attention.is_cross_attention:
            for name in ("to_k", "to_v"):
                shapes[f"ip_adapter.{i}.{name}_ip.weight"] = tuple(getattr(attention, name).weight.shape)
    return {key: 0.3 * torch.randn(shape, generator=g) for key, shape in shapes.items()}


@pytest.fixture
def faceid(_base: Base) -> dict[str, Tensor]:
    """As FaceID: 4 tokens and low-rank updates."""
    return faceid_weights(_base, 4, 2)


@pytest.fixture
def portrait(_base: Base) -> dict[str, Tensor]:
    """As FaceID-Portrait: 16 tokens and no updates."""
    return faceid_weights(_base, 16, 0)
