"""A base that was not copied whole says which part of it was not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from id3d_engine.errors import InputError
from id3d_engine.priors.base import load_base


@pytest.mark.parametrize(
    "part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]
)
def test_weights_that_a_file_lacks_are_named_and_never_random(
    prior_folder: Path, tmp_path: Path, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(prior_folder, folder)
    path = folder / f"{part}.safetensors"
    whole = load_file(path)
    first, second, *_, other = sorted(key for key, value in whole.items() if value.dim() > 1)
    lacking = {key: value for key, value in whole.items() if key not in (first, second)}
    for weights, found in ((lacking, []), ({**lacking, other: whole[other][:1].clone()}, [other])):
        save_file(weights, path, metadata={"format": "pt"})
        with pytest.raises(
            InputError, match=f"the weights in .*{path.parent.name} are partial, or of"
        ) as caught:
            load_base(folder)
        assert caught.value.details[:2] == (f"missing {first}", f"missing {second}")
        assert [line.partition(" is (1, ")[0] for line in caught.value.details[2:]] == found
        assert capsys.readouterr().err == ""


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
