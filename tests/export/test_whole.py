"""Files are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from id3d_engine.errors import InputError
from id3d_engine.export.whole import write_whole


def test_a_file_is_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "a.glb", []
    path.write_bytes(b"old")
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        seen.append(path.read_bytes())
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_whole(path, b"new")
    assert (seen, path.read_bytes(), os.listdir(tmp_path)) == ([b"old"], b"new", ["a.glb"])


def test_what_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.glb", b"new")
    assert os.listdir(tmp_path) == []


def test_a_bad_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("missing/a.glb", "no such file or directory"), ("file/a.glb", "not a directory")):
        with pytest.raises(InputError) as caught:
            write_whole(tmp_path / name, b"new")
        assert str(caught.value) == f"{tmp_path / name} cannot be written ({reason}): choose another place"
