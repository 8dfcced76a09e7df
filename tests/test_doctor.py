"""The doctor tells the truth about what is there, and what to do about the rest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from id3d_engine import cli, doctor
from id3d_engine.doctor import Check, damaged_files, healthy, report, text, write_checksums


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    folder = tmp_path / "starter"
    (folder / "prior" / "unet").mkdir(parents=True)
    (folder / "prior" / "unet" / "weights").write_bytes(b"weights")
    (folder / "template.safetensors").write_bytes(b"template")
    write_checksums(folder)
    return folder


def test_checksums_find_every_damage(starter: Path) -> None:
    assert damaged_files(starter) == []
    (starter / "prior" / "unet" / "weights").write_bytes(b"other")
    assert damaged_files(starter) == ["prior/unet/weights"]
    (starter / "template.safetensors").unlink()
    assert damaged_files(starter) == ["prior/unet/weights", "template.safetensors"]
    (starter / doctor.CHECKSUMS).unlink()
    assert damaged_files(starter) == [doctor.CHECKSUMS]


def test_checksums_are_those_of_sha256sum(starter: Path) -> None:
    lines = (starter / doctor.CHECKSUMS).read_text().splitlines()
    digest = hashlib.sha256(b"template").hexdigest()
    assert lines[1] == f"{digest}  template.safetensors"
    assert [line.partition("  ")[2] for line in lines] == ["prior/unet/weights", "template.safetensors"]


def test_missing_parts_of_the_starter_are_named(starter: Path) -> None:
    present, checksums = doctor._starter(starter)
    assert not present.ok and present.required
    assert "prior/vae" in present.text and "prior/unet" not in present.text
    assert checksums.ok


def test_the_self_test_renders() -> None:
    assert doctor._self_test().ok
    wrong = doctor._self_test(lambda: 0.5)
    assert not wrong.ok and "covers 50.0%" in wrong.text

    def broken() -> float:
        raise RuntimeError("no kernel")

    assert "rendering failed: no kernel" in doctor._self_test(broken).text


def test_a_missing_package_names_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor._REQUIRED, "no-such-package", "no-such-package")
    check = next(check for check in doctor._packages() if check.name == "no-such-package")
    assert (check.ok, check.required, check.fix) == (False, True, "pip install no-such-package")


def test_little_memory_or_disk_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_NEEDED_DISK_GIB", 1e9)
    monkeypatch.setattr(doctor, "_NEEDED_MEMORY_GIB", 1e9)
    assert not doctor._disk(tmp_path).ok
    assert not doctor._memory().ok


def test_only_required_checks_decide() -> None:
    good, bad = Check("a", True, True, "1.0"), Check("b", False, True, "gone", "pip install b")
    extra = Check("c", False, False, "not installed", "pip install c")
    assert healthy([good, extra]) and not healthy([good, bad])
    assert "-> pip install b" in text([good, bad, extra])
    assert text([good, extra]).endswith("ready")
    assert report([good, bad])["ok"] is False


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code = cli.main(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is (code == 0)
    names = {check["name"]: check for check in answer["checks"]}
    assert names["torch"]["ok"] and names["self test"]["ok"]
    assert {"device", "disk", "memory", "starter prior", "starter checksums", "bpy"} <= set(names)
    monkeypatch.setattr(doctor, "examine", lambda: [Check("a", False, True, "gone")])
    assert cli.main(["doctor"]) == 1
    assert "not ready" in capsys.readouterr().out
