from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from id3d_engine.errors import Id3dError, InputError
from id3d_engine.models import download
from id3d_engine.models.download import fetch

CONTENT = bytes(range(256)) * 2000
CUT, KEPT = 300_000, 4 << 16  # whole pieces before the cut
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def get(hub, target: Path, **options) -> list[int]:
    counts: list[int] = []
    fetch(f"{hub.url}/a/file.safetensors", target, received=counts.append, **options)
    return counts


@pytest.fixture
def served(hub):
    hub.files["a/file.safetensors"] = CONTENT
    return hub


def test_a_file_comes_whole_and_is_not_fetched_twice(served, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.safetensors"
    assert sum(get(served, target, size=len(CONTENT), sha256=DIGEST)) == len(CONTENT)
    assert target.read_bytes() == CONTENT
    assert sum(get(served, target, size=len(CONTENT), sha256=DIGEST)) == len(CONTENT)
    assert len(served.requests) == 1
    assert [p.name for p in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("sha256", [DIGEST, ""])
def test_a_cut_connection_goes_on_where_it_was(served, tmp_path: Path, sha256: str) -> None:
    served.cut = CUT
    counts = get(served, tmp_path / "f", sha256=sha256)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert [ranges for _, ranges in served.requests] == ["", f"bytes={KEPT}-"]
    assert sum(counts) == len(CONTENT)


def test_a_lost_server_leaves_a_partial_that_a_later_call_goes_on_with(
    served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.cut = CUT
    monkeypatch.setattr(download, "_ATTEMPTS", 0)
    with pytest.raises(Id3dError, match=r"stopped after 0\.00 GB \(.*\): run the same command again"):
        get(served, tmp_path / "f")
    assert (tmp_path / "f.partial").stat().st_size == KEPT
    assert not (tmp_path / "f").exists()
    monkeypatch.undo()
    get(served, tmp_path / "f", sha256=DIGEST)
    assert served.requests[-1][1] == f"bytes={KEPT}-"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f"]


def test_a_server_without_ranges_begins_again(served, tmp_path: Path) -> None:
    served.ranges, served.cut = False, 3000
    counts = get(served, tmp_path / "f", sha256=DIGEST)
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert sum(counts) == len(CONTENT)


def test_a_file_that_changed_meanwhile_is_not_joined_from_two_versions(served, tmp_path: Path) -> None:
    (tmp_path / "f.partial").write_bytes(b"old" * 100)
    (tmp_path / "f.validator").write_text('"of the old one"')
    get(served, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_partial_that_nothing_vouches_for_begins_again(served, tmp_path: Path) -> None:
    (tmp_path / "f.partial").write_bytes(b"old" * 100)
    get(served, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_whole_partial_is_taken(served, tmp_path: Path) -> None:
    (tmp_path / "f.partial").write_bytes(CONTENT)
    get(served, tmp_path / "f", size=len(CONTENT), sha256=DIGEST)
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("promise", [{"sha256": "0" * 64}, {"size": 5}])
def test_a_wrong_file_leaves_nothing_and_says_so(served, tmp_path: Path, promise: dict) -> None:
    with pytest.raises(
        InputError, match=f"is not the file that was asked for .*{DIGEST}.*: nothing was installed"
    ):
        get(served, tmp_path / "f", **promise)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_said(served, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be downloaded, the server answers 404 Not Found: check"):
        fetch(f"{served.url}/a/other", tmp_path / "f")
    served.ranges = False
    with pytest.raises(Id3dError, match=r"stopped after 0\.00 GB \(no connection\)"):
        fetch("http://127.0.0.1:9/file", tmp_path / "f")
