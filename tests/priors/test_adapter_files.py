from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from id3d_engine.digest import sha256_of
from id3d_engine.errors import InputError
from id3d_engine.priors.adapter_files import (
    AdapterConfig,
    check_prior,
    load_adapter,
    read_adapter_config,
    save_adapter,
)
from id3d_engine.priors.adapters import Adapter
from id3d_engine.priors.base import Base


@pytest.fixture
def saved(base: Base, tmp_path: Path) -> Path:
    config = AdapterConfig(
        "albedo",
        "dlib",
        8,
        base="a base",
        rank=2,
        lambda_id=0.7,
        training={"subjects": 3},
        metrics={"loss": 0.1},
    )
    adapter = Adapter(base.unet, config.sizes)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
    save_adapter(adapter, config, tmp_path, dtype=torch.float32)
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    path = folder / "albedo.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def test_round_trip_keeps_weights_and_facts(base: Base, saved: Path) -> None:
    adapter, config = load_adapter(base.unet, saved, "albedo")
    assert (adapter.lambda_id, adapter.lambda_exp) == (0.7, 1.0)
    assert config.training == {"subjects": 3}
    assert config.image_convention.startswith("sRGB albedo")
    save_adapter(adapter, config, saved / "again", dtype=torch.float32)
    for name in ("albedo.safetensors", "albedo.json"):
        assert (saved / "again" / name).read_bytes() == (saved / name).read_bytes()
    assert sorted(p.name for p in saved.iterdir() if p.is_file()) == ["albedo.json", "albedo.safetensors"]


def test_weights_are_half_precision_by_default(base: Base, saved: Path) -> None:
    adapter, config = load_adapter(base.unet, saved, "albedo")
    save_adapter(adapter, config, saved)
    assert {v.dtype for v in load_file(saved / "albedo.safetensors").values()} == {torch.float16}


def test_missing_files_are_named(base: Base, saved: Path) -> None:
    with pytest.raises(InputError, match=r"has no geometry\.json: train or copy a geometry adapter"):
        read_adapter_config(saved, "geometry")
    (saved / "albedo.safetensors").unlink()
    with pytest.raises(InputError, match=r"has no albedo\.safetensors: train or copy a albedo adapter"):
        load_adapter(base.unet, saved, "albedo")


def test_a_broken_config_is_named(saved: Path) -> None:
    edit(saved, schema=7)
    with pytest.raises(InputError, match="has schema 7, this version reads schema 1: update"):
        read_adapter_config(saved, "albedo")
    edit(saved, schema=1, colour="red", identity_encoder=None)
    with pytest.raises(InputError, match=r"unknown or missing fields \(colour, identity_encoder\)"):
        read_adapter_config(saved, "albedo")
    edit(saved, colour=None, identity_encoder="dlib", advice=[1])
    with pytest.raises(InputError, match="has advice other than noise, guidance, generic: correct the file"):
        read_adapter_config(saved, "albedo")
    (saved / "albedo.json").write_text("[]")
    with pytest.raises(InputError, match="has schema None, this version reads schema 1"):
        read_adapter_config(saved, "albedo")
    (saved / "albedo.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        read_adapter_config(saved, "albedo")


def test_another_identity_dimension_is_named_with_both_shapes(base: Base, saved: Path) -> None:
    edit(saved, identity_dimension=512)
    with pytest.raises(
        InputError, match=r"image_proj\.proj\.0\.weight is \(16, 8\), the base needs \(1024, 512\)"
    ):
        load_adapter(base.unet, saved, "albedo")


def test_keys_that_differ_are_listed_one_by_one(base: Base, saved: Path) -> None:
    tensors = load_file(saved / "albedo.safetensors")
    gone = next(k for k in tensors if k.endswith("to_k_id.weight"))
    del tensors[gone]
    tensors["layers.extra"] = torch.zeros(1)
    save_file(tensors, saved / "albedo.safetensors")
    with pytest.raises(InputError, match=f"does not fit this base: missing {gone}; unexpected layers.extra"):
        load_adapter(base.unet, saved, "albedo")


def test_a_file_that_is_cut_short_is_named(base: Base, saved: Path) -> None:
    weights = saved / "albedo.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"albedo\.safetensors is damaged: copy the file again"):
        load_adapter(base.unet, saved, "albedo")


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("albedo.json", r"has no albedo\.json: train or copy"),
        ("albedo.safetensors", r"has no albedo\.safetensors: train or copy"),
        ("geometry.safetensors", r"has no geometry\.safetensors: train or copy"),
        ("vae", r"is incomplete, it has no vae/"),
        ("unet", "there is no folder 'tiny' and no such model"),
    ],
)
def test_a_prior_is_known_to_be_whole_before_it_is_read(
    prior_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str, sentence: str
) -> None:
    monkeypatch.setenv("ID3D_MODELS", str(tmp_path / "models"))
    folder = tmp_path / "prior"
    shutil.copytree(prior_folder, folder)
    check_prior(folder)
    (shutil.rmtree if (folder / gone).is_dir() else os.remove)(folder / gone)
    with pytest.raises(InputError, match=sentence):
        check_prior(folder)


def test_another_base_is_refused(base: Base, saved: Path) -> None:
    unet_file = saved / "unet.safetensors"
    unet_file.write_bytes(b"weights")
    edit(saved, base_sha256=sha256_of(unet_file))
    load_adapter(base.unet, saved, "albedo", unet_file=unet_file)
    unet_file.write_bytes(b"other weights")
    with pytest.raises(InputError, match=r"was trained on another base \(a base\) than .*: use that base"):
        load_adapter(base.unet, saved, "albedo", unet_file=unet_file)


def test_config_says_what_a_pixel_means() -> None:
    assert "OpenGL camera space" in AdapterConfig("geometry", "dlib", 128).image_convention
    assert dataclasses.asdict(AdapterConfig("geometry", "dlib", 128))["schema"] == 1
    with pytest.raises(InputError, match="unknown prior domain 'depth'"):
        AdapterConfig("depth", "dlib", 128)


def test_a_model_that_is_no_prior_is_told_what_it_is(prior_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(prior_folder, folder, ignore=shutil.ignore_patterns("geometry.*", "albedo.*"))
    with pytest.raises(InputError, match="or make a prior of a base with `id3d models assemble`"):
        read_adapter_config(folder, "geometry")
    (folder / "text_encoder_2").mkdir()
    (folder / "text_encoder_2" / "config.json").touch()
    with pytest.raises(InputError, match="model is a Stable Diffusion XL model, which is not supported"):
        read_adapter_config(folder, "geometry")
