"""Set Up Engine and the preferences inside a real Blender, offline."""

from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _load(name: str):
    spec = importlib.util.spec_from_file_location(
        f"id3d_addon_{name}", HERE.parents[1] / "blender_addon" / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def zip_with_one_package(extension_zip, tmp_path) -> Path:
    target = tmp_path / "id3d.zip"
    with zipfile.ZipFile(extension_zip) as source, zipfile.ZipFile(target, "w") as copy:
        for entry in source.infolist():
            text = '[project]\ndependencies = ["small"]\n'
            copy.writestr(entry, text if entry.filename == "pyproject.toml" else source.read(entry))
    return target


@pytest.fixture
def wheels(tmp_path) -> Path:
    folder, info = tmp_path / "wheels", "small-1.0.dist-info"
    folder.mkdir()
    with zipfile.ZipFile(folder / "small-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small.py", "answer = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"small.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
    return folder


@pytest.mark.slow
def test_the_engine_is_set_up_and_the_buttons_do_what_they_say(drive, zip_with_one_package, wheels, tmp_path):
    facts = json.loads(drive("drive_preferences.py", zip_with_one_package, wheels, home=tmp_path)[-1])

    assert facts["at_first"] == ["The engine is not set up yet", "id3d.setup_engine"]
    assert "Turn on Preferences, System, Network, Allow Online Access, or choose a folder" in facts["offline"]
    assert "there is no folder /nowhere" in facts["no_wheels"]
    if sys.platform != "darwin":
        assert "Metal is for Macs: choose Automatic" in facts["wrong_build"]
    assert "There is no engine to remove" in facts["nothing_to_remove"]
    assert "not being set up" in facts["not_running"]
    assert facts["set_up"] == "FINISHED" and facts["problem"] is None and facts["inside"]
    assert facts["command"][1:] == ["-m", "id3d_engine"] and facts["answer"] == "42"
    assert "numpy: not installed; pip install numpy" in facts["check"] or "does not run" in facts["check"]

    assert facts["own"] == ["PYTHON", ["There is no Python at /nowhere/python", "id3d.show_preferences"]]
    assert facts["own_command"]
    assert facts["own_prior"][-2:] == ["--prior", "/models/mine"]
    assert facts["compiled"] == [*facts["own_prior"], "--compile"]
    assert facts["remote"] == ["The remote engine has no address yet", "id3d.show_preferences"]
    assert facts["remote_command"][0].endswith("remote.py")
    assert facts["remote_command"][1] == "https://example.org"
    assert facts["remote_environment"]["ID3D_REMOTE_KEY"] == "secret"
    assert facts["options"] == ["--device", "cpu", "--debug"]
    assert facts["options_with_photos"][-1] == "--send-photos"

    assert "No identity was kept" in facts["nothing_to_delete"]
    assert facts["delete"] == ["FINISHED", False]
    assert facts["copy"] == "FINISHED" and facts["home"] not in facts["diagnostics"]
    assert "id3d: ~/photos/me.jpg is damaged" in facts["diagnostics"] and "Blender: " in facts["diagnostics"]
    assert "secret" not in facts["diagnostics"]
    assert facts["remove"] == ["FINISHED", "absent"]


def test_diagnostics_name_nobody(monkeypatch, tmp_path):
    diagnostics = _load("diagnostics")
    monkeypatch.setattr(diagnostics.getpass, "getuser", lambda: "annab")
    monkeypatch.setattr(diagnostics.platform, "node", lambda: "anna-laptop")
    monkeypatch.setattr(diagnostics.Path, "home", lambda: Path("/export/annab"))
    log = tmp_path / "last_run.log"
    log.write_text("id3d: /media/annab/disk on anna-laptop is full\n")
    doctor = {"executable": "/export/annab/venv/bin/python", "checks": []}
    text = diagnostics.text({"Blender": "4.2.0"}, doctor, log)
    assert "annab" not in text and "anna-laptop" not in text
    assert "~/venv/bin/python" in text and "/media/USER/disk on HOST is full" in text
    assert diagnostics.without_names("/export/annabelle") == "/export/annabelle"
