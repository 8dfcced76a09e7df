"""The samples of docs/scripting run, and the API gives what the operator gives."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_samples_and_api(drive, extension_zip, bundle, engine, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    photo, samples = ROOT / "examples" / "portrait.jpg", ROOT / "docs" / "scripting"
    arguments = extension_zip, bundle, engine, photo, samples
    facts = json.loads(drive("drive_scripting.py", *arguments, home=tmp_path, cwd=work)[-1])

    assert facts["module"] == "bl_ext.studio_tools.id3d"
    assert facts["api"] == {"type": "Object", "active": True}
    assert facts["same"] and facts["loaded"]
    assert "There is no file /nowhere/me.jpg: check the path" in facts["no_photo"]
    assert "No face was found in me.jpg: use a sharp photo" in facts["no_face"]
    assert "choose a NAME.head folder" in facts["no_head"]

    assert "expressions: mouth_stretch smile eyeBlinkLeft jawOpen" in facts["01"]
    assert facts["picture"]["size"] == [256, 256]
    assert facts["picture"]["mean"] > 0.05 and facts["picture"]["spread"] > 0.02, "there is something to see"
    assert "frames " in facts["03"]
    assert "anna is done" in facts["05"] and "bert is done" in facts["05"]
    assert "nobody failed: " in facts["05"] and "dd a photo first" in facts["05"]
    assert facts["people"] == ["anna", "bert"]
    assert "4 morph targets" in facts["06"]
    assert {"anna-edit-001: bald", "anna-edit-002: with a beard"} <= set(facts["07"].splitlines())
    assert facts["changed"] == {"anna": True, "anna-edit-001": True, "anna-edit-002": True}
    assert {"07.blend", "01.blend", "02.png", "03.blend", "05.blend", "06.glb"} <= set(facts["files"])
    assert len([name for name in facts["files"] if name.startswith("lights/")]) == 4
    assert _targets(work / "06.glb") == ["mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen"]


def _targets(glb: Path) -> list[str]:
    payload = glb.read_bytes()
    (length,) = struct.unpack_from("<I", payload, 12)
    return json.loads(payload[20 : 20 + length])["meshes"][0]["extras"]["targetNames"]


def test_every_sample_is_listed():
    listed = (ROOT / "docs" / "scripting" / "README.md").read_text()
    samples = sorted(path.name for path in (ROOT / "docs" / "scripting").glob("*.py"))
    assert samples == [name for name in samples if f"`{name}`" in listed]
    assert listed.count(".py` |") == len(samples)
