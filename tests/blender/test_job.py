"""The generate job inside a real Blender: followed, cancelled, killed, resumed, and what else happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def facts(drive, extension_zip, engine, home, tmp_path) -> dict:
    lines = drive("drive_job.py", extension_zip, engine, PHOTO, tmp_path, home=home, cwd=tmp_path)
    return json.loads(lines[-1])


def test_a_job_survives_what_an_artist_does_meanwhile(facts):
    # The head grows in the viewport and touches nothing else.
    live = facts["live"]
    assert live["corners"] == [1.0, 1.0, 3.0] and live["faces"] == 2
    assert live["hidden"] == [True, True] and live["visible"]
    assert live["selected"] == ["chosen"] and live["active"] == "chosen"
    assert live["notes"] == ["two faces; the larger was taken"] and live["picture"] > 0
    assert live["text"] == "1 of 3: Shape 6/12, 9 s left"
    assert "A head is being made: wait for it, or cancel it" in facts["second_job"]
    assert facts["saved_without"] == []
    assert "There is no log" in facts["nothing_to_log"]

    # Cancelled, it goes on from there.
    nothing = {"running": False, "text": "", "preview": [], "heads": []}
    assert facts["cancel_s"] < 2.0
    assert facts["cancelled"] == nothing | {
        "kind": "STOPPED",
        "sentence": "Cancelled; Resume goes on from where it stopped",
        "resumable": True,
    }
    assert facts["stopped"] == ["head-001"]
    assert facts["resume"] == "FINISHED" and facts["resumed"]["heads"] == ["head-001"]
    assert "There is nothing to resume" in facts["resume_again"]

    # Killed, it says so soon.
    assert facts["killed_s"] < 2.0
    killed = facts["killed"]
    assert killed["kind"] == "FAILED" and killed["resumable"] and killed["preview"] == []
    assert killed["sentence"].startswith("The engine was ended from outside (signal 9)")
    assert facts["discard"] == "FINISHED" and facts["discarded"] == [None, False]

    own_fault = facts["own_fault"]
    assert own_fault["kind"] == "FAILED" and own_fault["resumable"] and not own_fault["running"]
    assert own_fault["sentence"] == (
        "ID3D failed while it followed the engine (division by zero): press Resume"
    )

    failed = facts["failed"]
    assert failed["sentence"] == "No face was found in me.jpg: use a sharp photo"
    assert not failed["resumable"] and failed["log"].startswith("id3d: no face")
    assert facts["left_behind"] == []

    # Files and modes.
    elsewhere = facts["elsewhere"]
    assert elsewhere["kind"] == "READY" and elsewhere["heads"] == []
    assert "another file is open" in elsewhere["sentence"] and facts["import"] == "FINISHED"
    assert facts["reverted"]["kind"] == "DONE" and len(facts["reverted"]["heads"]) == 1
    assert facts["edit_mode"]["kind"] == "READY" and facts["edit_mode"]["mode"] == "EDIT_MESH"
    assert facts["edit_mode"]["sentence"].endswith("add it in Object Mode")
    assert facts["dismiss"] == ["FINISHED", None]
    assert facts["framed"] == [[0.625, [0.0, 0.0, 0.125]], [15.0, [3.0, 0.0, 0.0]]]
    assert facts["brought_back"] == ["ID3D Preview"] and facts["after_undo"] == []

    # Earlier heads and settings.
    assert len(facts["heads"]) == 4
    assert facts["again"] == "FINISHED" and facts["settings"][2] == [str(PHOTO)]
    assert "is not a head" in facts["again_nothing"]
    assert facts["chosen"] == [False, "smile,grin"] and facts["all"] == "all"
    assert facts["identity"] == "FINISHED" and [Path(path).name for path in facts["photos"]] == ["anna.id"]
    assert facts["added"] == ["anna.id", "b.jpg"]
    assert "A saved identity stands for all photos" in facts["mixed"]
    assert "Add photos of the person first" in facts["save_nobody"]
    assert "Give the person a name" in facts["save_nameless"]
    assert facts["save_identity"] == "FINISHED" and facts["kept"] == ["anna.id"]
    assert facts["disabled"] == [True, False]
    assert facts["at_work"] == [False] * 4 and facts["enabled_again"] == [True] * 4
    assert facts["children"] == [True, True] and facts["too_late"] == [{}, [], True]


def test_the_panels_expressions_are_the_engines():
    import ast

    from id3d_engine.expressions import EXPRESSION_NAMES

    tree = ast.parse((ROOT / "blender_addon" / "properties.py").read_text())
    (table,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "EXPRESSIONS"
    )
    assert tuple(name for name, *_ in table) == EXPRESSION_NAMES
