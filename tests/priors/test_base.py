"""A base that was not copied whole says which part of it was not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from id3d_engine.errors import InputError
from id3d_engine.priors.base import load_base


@pytest.mark.parametrize(
    "name",
    [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_a_part_that_is_cut_short_is_named(prior_folder: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "base"
    shutil.copytree(prior_folder, folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as caught:
        load_base(folder)
    assert str(caught.value) == f"{(folder / name).parent} is damaged: copy the folder again"
