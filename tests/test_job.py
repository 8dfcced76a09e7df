"""Checkpoints that cannot be gone on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from id3d_engine.errors import InputError
from id3d_engine.job import Job, Stepper


def _learn(folder: Path) -> None:
    module = torch.nn.Linear(4, 4)
    for _ in Job(folder).steps("learn", 1, Stepper(module, torch.optim.Adam(module.parameters()))):
        pass


def _remember(folder: Path) -> None:
    Job(folder).remember("learn", lambda: {"numbers": torch.ones(64)})


@pytest.mark.parametrize("stage", [_learn, _remember])
@pytest.mark.parametrize("left", [0, 20, 200])
def test_a_damaged_checkpoint_is_named(stage, left: int, tmp_path: Path) -> None:
    stage(tmp_path)
    path = tmp_path / "learn.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InputError) as caught:
        stage(tmp_path)
    assert str(caught.value) == f"{path} is damaged: delete it, then run the same command again"
    path.unlink()
    stage(tmp_path)


def test_a_checkpoint_of_another_kind_is_named(tmp_path: Path) -> None:
    _remember(tmp_path)
    with pytest.raises(InputError, match=r"learn\.safetensors is damaged: delete it"):
        _learn(tmp_path)
