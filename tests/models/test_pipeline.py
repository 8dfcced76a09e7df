from __future__ import annotations

import json
from pathlib import Path

import pytest

from id3d_engine.errors import InputError
from id3d_engine.models.pipeline import check_pipeline, check_unet, select

FILES = [
    "model_index.json",
    "README.md",
    "LICENSE",
    "v1-5-pruned.safetensors",
    "safety_checker/model.safetensors",
    "scheduler/scheduler_config.json",
    *(f"tokenizer/{n}" for n in ("vocab.json", "merges.txt", "tokenizer_config.json")),
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.bin",
]


def test_only_what_a_pipeline_needs_is_kept_in_half_precision_if_there_is_any() -> None:
    kept = select(FILES, "it")
    assert kept["unet/diffusion_pytorch_model.safetensors"] == "unet/diffusion_pytorch_model.fp16.safetensors"
    assert kept["vae/diffusion_pytorch_model.safetensors"] == "vae/diffusion_pytorch_model.fp16.safetensors"
    assert kept["text_encoder/model.safetensors"] == "text_encoder/model.safetensors"
    assert set(FILES) - set(kept.values()) == {
        "README.md", "v1-5-pruned.safetensors", "safety_checker/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.bin",
    }  # fmt: skip


def test_pickles_are_kept_as_such_where_there_is_nothing_else() -> None:
    names = [name for name in FILES if not name.endswith(".safetensors")] + [
        "text_encoder/pytorch_model.bin",
        "vae/diffusion_pytorch_model.fp16.bin",
    ]
    kept = select(names, "it")
    assert kept["unet/diffusion_pytorch_model.bin"] == "unet/diffusion_pytorch_model.bin"
    assert kept["vae/diffusion_pytorch_model.bin"] == "vae/diffusion_pytorch_model.fp16.bin"
    assert kept["text_encoder/model.bin"] == "text_encoder/pytorch_model.bin"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            [*FILES, "text_encoder_2/config.json"],
            "it is a Stable Diffusion XL model, which is not supported: use",
        ),
        (
            ["transformer/config.json"],
            r"it is not a diffusers pipeline, it has no unet/: use a model of the Stable",
        ),
        (FILES[:-6], "it has no unet/"),
        (
            [name for name in FILES if not name.startswith(("vae", "tokenizer"))],
            r"it has no vae/config\.json, tokenizer/vocab\.json, tokenizer/merges\.txt and 1 more",
        ),
    ],
)
def test_other_models_are_refused_by_their_names_alone(names: list[str], sentence: str) -> None:
    names = [n for n in names if not n.startswith("unet")] if sentence == "it has no unet/" else names
    with pytest.raises(InputError, match=sentence):
        select(names, "it")


def test_a_prior_brings_its_adapters_with_its_base_or_without() -> None:
    adapters = ["geometry.json", "geometry.safetensors", "albedo.json", "albedo.safetensors"]
    assert set(adapters) | {"unet/config.json"} <= set(select([*FILES, *adapters], "it"))
    assert sorted(select([*adapters, "notes.txt"], "it")) == sorted(adapters)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"in_channels": 4, "addition_embed_type": "text_time"}, "it is a Stable Diffusion XL model"),
        ({"in_channels": 9}, "it takes 9 channels instead of 4"),
        ({"in_channels": 4, "addition_embed_type": None}, ""),
    ],
)
def test_the_unet_tells_its_class(tmp_path: Path, config: dict, sentence: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    if sentence:
        with pytest.raises(InputError, match=sentence):
            check_unet(path, "it")
    else:
        check_unet(path, "it")


def test_a_folder_with_other_names_has_to_be_added_first(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"in_channels": 4}')
    with pytest.raises(
        InputError, match=r"diffusion_pytorch_model\.fp16\.safetensors.*run `id3d models add "
    ):
        check_pipeline(tmp_path)
