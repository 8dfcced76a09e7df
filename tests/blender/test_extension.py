"""The built extension inside a real Blender: installed, used, disabled."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from id3d_engine import __version__

ROOT = Path(__file__).parents[2]


def test_manifest_passes_blenders_own_validator(extension_zip, blender_ext):
    command = [sys.executable, blender_ext, "validate", extension_zip]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_manifest_agrees_with_the_engine():
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text())
    assert manifest["version"] == __version__
    assert list(manifest["permissions"]) == ["files", "network", "clipboard"]


def test_zip_carries_code_and_nothing_else(extension_zip):
    names = zipfile.ZipFile(extension_zip).namelist()
    assert {name.split("/")[0] for name in names} == {
        "blender_manifest.toml", "__init__.py", "pyproject.toml", "blender_addon", "id3d_engine",
    }  # fmt: skip
    assert "id3d_engine/blender_scene/mesh.py" in names


def test_zip_stays_small(extension_zip):
    starter = sum(path.stat().st_size for path in (ROOT / "id3d_engine/starter").rglob("*") if path.is_file())
    assert extension_zip.stat().st_size + starter < 80e6


@pytest.fixture
def newer_zip(extension_zip, tmp_path) -> Path:
    """The same extension, one version later."""
    target = tmp_path / "id3d-newer.zip"
    with zipfile.ZipFile(extension_zip) as source, zipfile.ZipFile(target, "w") as copy:
        for entry in source.infolist():
            payload = source.read(entry)
            if entry.filename == "blender_manifest.toml":
                payload = payload.replace(b'version = "0.1.0"', b'version = "0.1.1"', 1)
            copy.writestr(entry, payload)
    return target


def test_from_installation_to_removal(drive, extension_zip, newer_zip, bundle, engine, tmp_path):
    photo = ROOT / "examples" / "portrait.jpg"
    lines = drive("drive_extension.py", extension_zip, newer_zip, bundle, engine, photo, home=tmp_path)
    facts = json.loads(lines[-1])

    assert facts["install"] == "FINISHED" and facts["enabled"] and facts["registered"] == [True, True]
    assert facts["warnings"] == [] and facts["top_level"] == [] and not facts["torch"]

    assert facts["without_tooltip"] == []

    keys = ["Basis", "mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen"]
    assert facts["import"] == facts["second"] == "FINISHED"
    assert facts["head"]["name"] == "anna" and facts["head"]["selected"] == ["anna"]
    assert facts["head"]["keys"] == keys and facts["head"]["values"] == [0] * 5
    assert facts["names"] == ["anna", "anna.001"]
    assert "x.head is not a head: choose a NAME.head folder" in facts["import_nothing"]

    assert "Add a photo first" in facts["no_photo"]
    assert "There is no file /nowhere/me.jpg: check the path" in facts["wrong_photo"]
    assert facts["generate"] == "FINISHED"
    assert facts["made"] == {"name": "head-001", "seed": 7, "vertices": facts["head"]["vertices"]}
    damaged = facts["generate_damaged"].removeprefix("Error: ").strip()
    assert damaged.endswith("albedo.png is damaged: copy the head again, or make it again")
    assert "\n" not in damaged and "Error" not in damaged
    assert "No face was found in me.jpg: use a sharp photo (log: " in facts["generate_fails"]
    assert "The engine cannot be started" in facts["no_engine"]
    assert "There is no Python at /nowhere/python" in facts["check_no_engine"]
    assert facts["left_behind"] == [] and facts["enabled_again"]

    assert facts["upgrade"] == "FINISHED"
    assert facts["upgraded"] == {
        "version": True, "heads": "/my/heads", "python": "/nowhere/python", "works": "FINISHED",
    }  # fmt: skip
    shipped = {Path(name).name for name in zipfile.ZipFile(extension_zip).namelist()}
    assert set(facts["written_into_the_code"]) <= shipped
    assert facts["removal"] == "FINISHED"
    assert facts["removed"] == {"enabled": False, "code": False, "left_behind": [], "heads": True}
