"""The ends of a run: what is refused before it leaves nothing, and what is done stays done."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from id3d_engine import edit, generate
from id3d_engine.errors import InputError
from id3d_engine.head import Head
from id3d_engine.identity import Identity
from id3d_engine.stages import finish


@pytest.mark.parametrize("gone", ["albedo.safetensors", "geometry.safetensors", "vae/config.json"])
def test_an_incomplete_prior_is_refused_before_anything_is_written(
    template_head: Head, tiny_prior: Path, tmp_path: Path, gone: str
) -> None:
    prior, head = tmp_path / "prior", template_head.write(tmp_path / "a.head", preview=False)
    shutil.copytree(tiny_prior, prior)
    (prior / gone).unlink()
    person = Identity(0.13 * np.ones(128, np.float32))
    with pytest.raises(InputError, match=f"has no {gone}"):
        generate(identity=person, out=tmp_path / "b.head", prior=prior, device="cpu")
    with pytest.raises(InputError, match=f"has no {gone}"):
        edit(head, text="old", out=tmp_path / "b.head", prior=prior, device="cpu")
    assert sorted(os.listdir(tmp_path)) == ["a.head", "prior"]


def test_a_working_folder_that_stays_fails_no_finished_run(
    small_head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("id3d_engine.preview.COLUMNS", {"front": 0.0})
    work, out, rmdir = tmp_path / "a.head.partial", tmp_path / "a.head", os.rmdir

    def held(path: str | Path, **how: int) -> None:
        if Path(path).name == work.name:
            raise OSError(39, "Directory not empty")
        rmdir(path, **how)

    work.mkdir()
    monkeypatch.setattr(os, "rmdir", held)
    assert finish(small_head, out, work, overwrite=False, identity=None) is small_head
    assert (out / "head.json").is_file()
