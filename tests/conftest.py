"""What tests of several areas share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from id3d_engine.expressions import ARKIT_NAMES, select
from id3d_engine.head import Head
from id3d_engine.rig.units import pose
from id3d_engine.template import EYE, MOUTH, SKIN, load_template

if TYPE_CHECKING:
    from id3d_engine.config import Preset
    from id3d_engine.priors.training.starter_base import StarterConfig

NAMES = ("mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen")


def _ball(rows: int, columns: int, radius_m: float, centre_m: tuple[float, float, float]) -> tuple:
    """A UV sphere whose seam shares vertices but not UVs; its caps are triangles."""
    polar = np.linspace(0, np.pi, rows + 1)[1:-1]
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    theta, phi = np.meshgrid(polar, around, indexing="ij")
    ring = np.stack([np.sin(theta) * np.sin(phi), -np.sin(theta) * np.cos(phi), np.cos(theta)], -1)
    vertices = np.concatenate([ring.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]]) * radius_m + centre_m
    top, bottom = len(vertices) - 2, len(vertices) - 1
    faces, uv = [], []
    for j in range(columns):
        k, u0, u1 = (j + 1) % columns, j / columns, (j + 1) / columns
        for i in range(rows - 2):
            v0, v1 = 1 - (i + 1) / rows, 1 - (i + 2) / rows
            a, b = i * columns, (i + 1) * columns
            faces.append([b + j, b + k, a + k, a + j])
            uv.append([[u0, v1], [u1, v1], [u1, v0], [u0, v0]])
        last = (rows - 2) * columns
        faces.append([j, k, top, top])
        uv.append([[u0, 1 - 1 / rows], [u1, 1 - 1 / rows], [u0, 1], [u0, 1]])
        faces.append([last + k, last + j, bottom, bottom])
        uv.append([[u1, 1 / rows], [u0, 1 / rows], [u0, 0], [u0, 0]])
    return vertices, np.array(faces), np.array(uv)


@pytest.fixture
def small_head() -> Head:
    """Three balls (skin, eye, mouth), quads and triangles, a UV seam, four shape keys, 16 px maps."""
    sizes = {SKIN: (0.1, (0, 0, 0.12)), EYE: (0.015, (0.03, -0.09, 0.15)), MOUTH: (0.02, (0, -0.08, 0.08))}
    vertices, faces, uv, part, count = [], [], [], [], 0
    for value, (radius, centre) in sizes.items():
        v, f, t = _ball(8, 12, radius, centre)
        vertices.append(v)
        faces.append(f + count)
        uv.append((t + np.array([value, 0])) / [3, 1])
        part.append(np.full(len(f), value))
        count += len(v)
    random = np.random.default_rng(3)
    shape_keys = np.zeros((len(NAMES), count, 3))
    shape_keys[0] = random.normal(size=(count, 3)) * 0.002  # dense
    shape_keys[1, 10:20] = random.normal(size=(10, 3)) * 0.004  # sparse; the last stays at zero
    shape_keys[2, 60:75] = random.normal(size=(15, 3)) * 0.004
    maps = {
        "albedo": random.random((16, 16, 3)),
        "roughness": random.random((16, 16)),
        "specular": random.random((16, 16)) * 0.5,
        "normal": np.full((16, 16, 3), (0.5, 0.5, 1.0)),
        "smile_albedo": random.random((16, 16, 3)),
    }
    return Head(
        np.concatenate(vertices),
        np.concatenate(faces),
        np.concatenate(uv),
        np.concatenate(part),
        shape_keys,
        NAMES,
        maps,
        {"provenance": {"seed": 7, "text": ""}, "metrics": {"likeness": 0.4}, "timings_s": {"sculpt": 1.5}},
    )


@pytest.fixture(scope="session")
def tiny() -> StarterConfig:
    """Sizes of a base of real classes whose steps take milliseconds."""
    from id3d_engine.priors.training.starter_base import StarterConfig

    return StarterConfig(
        image_size=64,
        vae_channels=(8, 8, 8, 16),
        vae_groups=4,
        unet_channels=(16, 32),
        head_channels=8,
        unet_groups=4,
        text_width=32,
        text_layers=1,
        text_heads=2,
        text_length=24,
        merges=80,
    )


@pytest.fixture(scope="session")
def tiny_prior(tiny: StarterConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior's folder of real classes for dlib identities: both domains, 64 px, random weights."""
    import torch

    from id3d_engine.digest import sha256_of
    from id3d_engine.priors.adapter_files import UNET_FILE, AdapterConfig, save_adapter
    from id3d_engine.priors.adapters import Adapter
    from id3d_engine.priors.base import save_base
    from id3d_engine.priors.prompts import DOMAINS
    from id3d_engine.priors.training.starter_base import build_starter_base

    torch.manual_seed(0)
    base, folder = build_starter_base(["a head from the front"], tiny), tmp_path_factory.mktemp("tiny")
    save_base(base, folder)
    for domain in DOMAINS:
        config = AdapterConfig(
            domain, "dlib", 128, base_sha256=sha256_of(folder / UNET_FILE), rank=2, resolution=64
        )
        adapter = Adapter(base.unet, config.sizes)
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        save_adapter(adapter, config, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_preset() -> Preset:
    """As little of every stage as there can be, but all of them."""
    from id3d_engine.appearance.settings import PaintConfig
    from id3d_engine.config import Preset
    from id3d_engine.geometry.polish import PolishConfig
    from id3d_engine.geometry.psi_g import PsiGConfig
    from id3d_engine.geometry.sculpt import SculptConfig

    return Preset(
        SculptConfig(
            cell_m=0.016, rounds=2, inner_steps=2, views=1, closeups=1, fit_size=64, denoising_steps=1,
            net=PsiGConfig(tokens=32, width=32),
        ),
        PolishConfig(rounds=1, inner_steps=1, views=2, fit_size=64, denoising_steps=1),
        PaintConfig(size=128, grid=32, bake_grid=32, rounds=2, views=2, inner_steps=1, denoise_steps=1),
    )  # fmt: skip


@pytest.fixture
def template_head() -> Head:
    """The template with its units, two expressions by recipe, and even 64 px maps."""
    template = load_template()
    cast = select("smile,eyes_closed")
    keys = [pose(template.arkit, e.recipe) for e in cast] + [template.arkit[name] for name in ARKIT_NAMES]
    maps = {
        "albedo": np.full((64, 64, 3), (0.72, 0.52, 0.43)),
        "roughness": np.full((64, 64), 0.5),
        "specular": np.full((64, 64), 0.45),
        "normal": np.full((64, 64, 3), (0.5, 0.5, 1.0)),
        "smile_albedo": np.full((64, 64, 3), 0.6),
    }
    return Head(
        template.vertices, template.faces, template.uv, template.part, np.stack(keys),
        (*(e.name for e in cast), *ARKIT_NAMES), maps, {"provenance": {"seed": 7}},
    )  # fmt: skip
