from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from id3d_engine.errors import InputError
from id3d_engine.models import library
from id3d_engine.models.library import (
    Model,
    describe,
    find,
    installed,
    models_folder,
    problems,
    remove,
    require,
    unfinished,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b", "a"):
        home = tmp_path / name
        (home / "unet").mkdir(parents=True)
        (home / "unet" / "weights.safetensors").write_bytes(name.encode() * 10)
        (home / "config.json").write_text("{}")
        model = Model(name, "base", f"user/{name}", "abc", "MIT", "yes", describe(home))
        (home / "model.json").write_text(model.to_json())
    return tmp_path


def test_models_are_found_by_name_and_by_source(folder: Path) -> None:
    assert [model.name for model in installed(folder)] == ["a", "b"]
    model = require("user/b", folder)
    assert model == find("b", folder)
    assert [file.path for file in model.files] == ["config.json", "unet/weights.safetensors"]
    assert model.size == 12
    assert find("c", folder) is None
    with pytest.raises(InputError, match=r"there is no model 'c' in .*: see `id3d models list`"):
        require("c", folder)
    assert installed(folder / "nowhere") == []


def test_unfinished_models_are_not_listed(folder: Path) -> None:
    (folder / "a").rename(folder / ".a.partial")
    assert [model.name for model in installed(folder)] == ["b"]
    assert unfinished(folder) == ["a"]


def test_every_damage_is_named(folder: Path) -> None:
    model = require("a", folder)
    assert problems(model, folder) == []
    (folder / "a" / "unet" / "weights.safetensors").write_bytes(b"b" * 10)
    assert problems(model, folder) == ["unet/weights.safetensors is damaged: its sha256 differs"]
    (folder / "a" / "unet" / "weights.safetensors").write_bytes(b"b")
    (folder / "a" / "config.json").unlink()
    assert problems(model, folder) == [
        "config.json is missing",
        "unet/weights.safetensors has 1 bytes instead of 10",
    ]


def test_removing_takes_one_model(folder: Path) -> None:
    remove(folder / "a")
    assert [path.name for path in folder.iterdir()] == ["b"]


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"path": "../b/config.json", "size": 1, "sha256": ""}]},
        {"files": [{"path": "/etc/passwd", "size": 1, "sha256": ""}]},
        {"files": [{"path": "C:\\x", "size": 1, "sha256": ""}]},
        {"files": 3},
        {"commercial": "maybe"},
        {"name": "../b"},
        {"colour": "red"},
    ],
)
def test_a_manifest_that_lies_is_refused(folder: Path, change: dict) -> None:
    values = json.loads((folder / "a" / "model.json").read_text()) | change
    (folder / "a" / "model.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"model\.json is damaged"):
        installed(folder)


def test_another_schema_and_a_renamed_folder_are_said(folder: Path) -> None:
    model = require("a", folder)
    (folder / "a" / "model.json").write_text(replace(model, schema=9).to_json())
    with pytest.raises(InputError, match="has schema 9, this version reads schema 1: update"):
        installed(folder)
    (folder / "a" / "model.json").write_text(model.to_json())
    (folder / "a").rename(folder / "c")
    with pytest.raises(InputError, match="is of a model named 'a': rename its folder"):
        installed(folder)


def test_where_models_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ID3D_MODELS", str(tmp_path / "named"))
    assert models_folder(tmp_path) == tmp_path
    assert models_folder() == tmp_path / "named"
    monkeypatch.delenv("ID3D_MODELS")
    monkeypatch.setattr(library.Path, "home", lambda: tmp_path)
    for system, variable, place in (
        ("linux", "XDG_DATA_HOME", ".local/share"),
        ("darwin", "", "Library/Application Support"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ):
        monkeypatch.setattr(library.sys, "platform", system)
        if variable:
            monkeypatch.setenv(variable, str(tmp_path / "data"))
            assert models_folder() == tmp_path / "data" / "id3d" / "models"
            monkeypatch.delenv(variable)
        assert models_folder() == tmp_path / place / "id3d" / "models"
