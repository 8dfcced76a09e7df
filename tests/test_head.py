"""The head bundle: what is written is what is read, and nothing is ever half there."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from id3d_engine import head as head_module
from id3d_engine.errors import Id3dError, InputError
from id3d_engine.head import Head, check_destination, read_manifest, validate


@pytest.fixture
def bundle(small_head: Head, tmp_path: Path) -> Path:
    return small_head.write(tmp_path / "anna.head", preview=False)


def test_what_is_written_is_what_is_read(small_head: Head, bundle: Path) -> None:
    again = Head.read(bundle)
    for name in ("vertices", "faces", "uv", "part", "shape_keys"):
        assert np.array_equal(getattr(again, name), getattr(small_head, name)), name
        assert getattr(again, name).dtype == getattr(small_head, name).dtype
    assert again.names == small_head.names
    assert set(again.textures) == set(small_head.textures)
    for name, image in small_head.textures.items():
        assert np.array_equal(again.textures[name], image), name
    assert again.info == small_head.info
    assert validate(bundle) == []


def test_the_contract_of_the_files(bundle: Path) -> None:
    manifest = json.loads((bundle / "head.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["engine"]["name"] == "id3d_engine"
    assert manifest["expressions"] == ["mouth_stretch", "smile"]
    assert manifest["shape_keys"] == ["mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen"]
    assert manifest["provenance"]["seed"] == 7
    assert set(manifest["files"]) == {
        "geometry.safetensors",
        "head.glb",
        *(f"textures/{name}.png" for name in ("albedo", "roughness", "specular", "normal", "smile_albedo")),
    }
    with safe_open(bundle / "geometry.safetensors", framework="np") as file:
        assert json.loads(file.metadata()["shape_keys"]) == manifest["shape_keys"]
        assert set(file.keys()) == {"vertices", "faces", "uv", "part", "shape_keys"}
        assert file.get_tensor("faces").dtype == np.int32


def test_two_writes_give_the_same_bytes(small_head: Head, bundle: Path) -> None:
    other = small_head.write(bundle.with_name("berta.head"), preview=False)
    first, second = read_manifest(bundle)["files"], read_manifest(other)["files"]
    first.pop("head.glb"), second.pop("head.glb")  # it holds the bundle's name
    assert first == second


def test_an_identity_is_kept_only_if_given(small_head: Head, tmp_path: Path) -> None:
    identity = tmp_path / "a.id"
    identity.write_bytes(b"embedding")
    folder = small_head.write(tmp_path / "a.head", preview=False, identity_file=identity)
    assert (folder / "identity.safetensors").read_bytes() == b"embedding"
    assert "identity.safetensors" in read_manifest(folder)["files"]


def test_a_bundle_is_replaced_only_on_request(small_head: Head, bundle: Path) -> None:
    with pytest.raises(InputError, match="already exists: choose another name, or add --overwrite"):
        small_head.write(bundle, preview=False)
    changed = dataclasses.replace(small_head, vertices=small_head.vertices * 2)
    changed.write(bundle, overwrite=True, preview=False)
    assert np.array_equal(Head.read(bundle).vertices, changed.vertices)
    assert os.listdir(bundle.parent) == ["anna.head"]


def test_a_foreign_folder_is_never_touched(small_head: Head, tmp_path: Path) -> None:
    folder = tmp_path / "mine.head"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is not a head bundle, so it is left alone"):
        small_head.write(folder, overwrite=True, preview=False)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_the_name_ends_in_head(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end it in \.head"):
        check_destination(tmp_path / "anna")
    (tmp_path / "empty.head").mkdir()
    check_destination(tmp_path / "empty.head")


def test_a_failed_rename_leaves_the_old_bundle(
    small_head: Head, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def refuse_new(source: Path, target: Path) -> None:
        if Path(source).suffix == ".tmp":
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(head_module.os, "rename", refuse_new)
    with pytest.raises(Id3dError, match="cannot be written: No space left on device"):
        small_head.write(bundle, overwrite=True, preview=False)
    assert validate(bundle) == []
    assert os.listdir(bundle.parent) == ["anna.head"]


def test_a_failure_while_writing_leaves_nothing(
    small_head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(head_module, "encode_png", full)
    with pytest.raises(Id3dError, match="cannot be written"):
        small_head.write(tmp_path / "a.head", preview=False)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(small_head: Head, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file/a.head", "file/new/a.head"):
        with pytest.raises(InputError, match=r"cannot be written \(not a directory\): choose another place"):
            small_head.write(tmp_path / name, preview=False)
    check_destination(tmp_path / "new" / "newer" / "a.head")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that nobody may write to")
def test_a_place_that_takes_no_files() -> None:
    with pytest.raises(InputError, match=r"/proc/x/a\.head cannot be written \(.*\): choose another place"):
        check_destination(Path("/proc/x/a.head"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vertices": np.zeros((0, 3))}, "shape_keys has shape"),
        ({"names": ("smile",)}, "shape_keys has shape"),
        ({"names": ("smile", "smile", "eyeBlinkLeft", "jawOpen")}, "same name"),
        ({"names": ("smile", "mouth_stretch", "eyeBlinkLeft", "jawOpen")}, "out of order"),
        ({"names": ("", "mouth_stretch", "eyeBlinkLeft", "jawOpen")}, "has no name"),
        ({"textures": {"gloss": np.zeros((4, 4))}}, "neither a map nor"),
        ({"textures": {"grin_albedo": np.zeros((4, 4, 3))}}, "neither a map nor"),
        ({"textures": {"albedo": np.zeros((4, 4))}}, r"3 channel\(s\) are due"),
    ],
)
def test_a_wrong_head_is_not_written(small_head: Head, tmp_path: Path, change: dict, sentence: str) -> None:
    with pytest.raises(Id3dError, match=sentence):
        dataclasses.replace(small_head, **change).write(tmp_path / "a.head", preview=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "index", "value", "sentence"),
    [
        ("vertices", (3, 1), np.nan, "A vertex is not a finite number."),
        ("shape_keys", (1, 3, 1), np.inf, "A shape key's offset is not a finite number."),
        ("faces", (0, 0), 10_000, "A face names a vertex that does not exist."),
        ("faces", (0, 0), -1, "A face names a vertex that does not exist."),
        ("uv", (0, 0, 0), 1.25, "A UV coordinate is outside 0 to 1."),
        ("part", (0,), 7, "A face's part is none of skin, eye and mouth."),
    ],
)
def test_each_wrong_number_is_named(
    small_head: Head, name: str, index: tuple, value: float, sentence: str
) -> None:
    assert small_head.problems() == []
    getattr(small_head, name)[index] = value
    assert small_head.problems() == [sentence]


def test_an_empty_mesh_is_named(small_head: Head) -> None:
    empty = Head(
        np.zeros((0, 3)), np.zeros((0, 4)), np.zeros((0, 4, 2)), np.zeros(0), np.zeros((0, 0, 3)), ()
    )
    assert empty.problems() == ["The mesh is empty."]


def test_damage_is_found(bundle: Path) -> None:
    (bundle / "textures" / "albedo.png").write_bytes(b"other")
    (bundle / "head.glb").unlink()
    found = validate(bundle)
    assert "head.glb is missing." in found
    assert "textures/albedo.png was changed after the bundle was written: its sha256 differs." in found
    with pytest.raises(InputError, match="cannot be used"):
        Head.read(bundle)


def test_a_file_list_cannot_point_outside(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    manifest["files"]["../secret"] = {"sha256": ""}
    (bundle / "head.json").write_text(json.dumps(manifest))
    assert validate(bundle) == ["head.json lists '../secret', which is outside the bundle."]


def test_names_must_agree(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    manifest["shape_keys"] = ["smile"]
    (bundle / "head.json").write_text(json.dumps(manifest))
    assert validate(bundle) == ["head.json and geometry.safetensors list different shape keys."]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"schema": 2}', "has schema 2, this version reads schema 1: update id3d"),
        ("[]", "has schema None"),
        ("not json", "head.json is damaged: copy the head again, or make it again"),
        ('{"schema": 1}', "head.json lists no files"),
        ('{"schema": 1, "files": {}}', "does not list geometry.safetensors"),
    ],
)
def test_a_manifest_of_another_kind(bundle: Path, text: str, sentence: str) -> None:
    (bundle / "head.json").write_text(text)
    assert sentence in validate(bundle)[0]


def test_no_bundle_at_all(tmp_path: Path) -> None:
    assert validate(tmp_path / "nobody.head") == [
        f"{tmp_path / 'nobody.head'} is not a head bundle: it has no head.json"
    ]


def test_geometry_of_another_kind(bundle: Path) -> None:
    (bundle / "geometry.safetensors").write_bytes(b"rubbish")
    with pytest.raises(
        InputError, match=r"geometry\.safetensors is damaged: copy the head again, or make it"
    ):
        Head.read(bundle, verify=False)


def test_poses_and_maps(small_head: Head) -> None:
    half = small_head.posed("smile", 0.5)
    assert np.allclose(half - small_head.vertices, 0.5 * small_head.shape_keys[1], atol=1e-8)
    assert small_head.posed("neutral") is small_head.vertices
    with pytest.raises(InputError, match="has no expression 'grin'"):
        small_head.posed("grin")
    assert np.array_equal(small_head.map_for("albedo", "smile"), small_head.textures["smile_albedo"])
    assert np.array_equal(small_head.map_for("albedo", "jawOpen"), small_head.textures["albedo"])
    assert small_head.map_for("gloss") is None
