"""Heads changed by text inside a real Blender: where the new one stands, what stays, what is told."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_head_is_changed_by_text(drive, extension_zip, engine, bundle, tmp_path):
    photo, home = ROOT / "examples" / "portrait.jpg", tmp_path / "home"
    home.mkdir()
    facts = json.loads(drive("drive_edit.py", extension_zip, engine, bundle, photo, tmp_path, home=home)[-1])
    assert "Select a head first" in facts["no_head"]

    # In the old one's place, with its face; the old one hidden, its other children not.
    assert facts["made"] == {
        "hidden": [False, False],
        "place": [0.5, 1.0, 0.0],
        "name": "head-001-edit-001",
        "text": ["with a full beard", "texture", 2],
        "active": True,
        "turned": True,
        "parent": "rig",
        "smile": 0.6,
    }
    assert facts["old"] == {"hidden": [True, True], "place": [0.5, 1.0, 0.0], "glasses": False}
    assert facts["request"] == ["head-001.head", ["portrait.jpg"], " with a full beard"]
    assert facts["kept"] == ["head-001-edit-001.head", "head-001.head"]

    # The same life as any job's; meanwhile the new head grows beside the old one.
    assert facts["preview_seen"] and facts["preview"] > 0.1
    assert "A head is being made" in facts["busy"]
    assert facts["cancel_s"] < 2.0 and facts["cancelled"] == ["STOPPED", True, False]
    assert facts["resume"] == "FINISHED"
    assert facts["resumed"] == {
        "hidden": [False, False],
        "place": [0.5, 1.0, 0.0],
        "name": "head-001-edit-002",
        "before": {"hidden": [True, True], "place": [0.5, 1.0, 0.0]},
    }
    sentence = "head-001-edit-003 stands in the place of head-001-edit-002, which is hidden"
    assert facts["done"] == ["DONE", sentence, [0.5, 1.0, 0.0]]

    assert facts["elsewhere"] == "FINISHED" and facts["beside"]
    assert facts["history"]["anna-edit-001"] == ["with blue eyes", "both"]
    assert facts["history"]["head-001-edit-001"] == ["with a full beard", "texture"]
    assert facts["history"]["head-001"][1] == ""
    assert facts["again"] == "FINISHED"
    assert facts["settings"] == ["with blue eyes", "both", "high", 9, "mine"]
    assert facts["told"] == [False, False]
    assert facts["hair"] == [True, True] and facts["given"] == ["portrait.jpg"]

    assert "Say what should change" in facts["no_text"]
    assert "There is no file /nowhere/me.jpg" in facts["no_photo"]
    assert "No face was found" in facts["fails"] and facts["left_behind"] == []
    assert "Changes by text need a local engine" in facts["remote"]
    assert "is gone or was made anew" in facts["gone"]
    assert "is not known here: import its NAME.head folder" in facts["unknown"]
