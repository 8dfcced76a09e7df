"""Heads into a scene and out of it, in a real Blender."""

from __future__ import annotations

import json

import pytest

KEYS = ["mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen"]


_FACTS: dict = {}  # of one process for all tests; `bundle` is made anew for each test


@pytest.fixture
def facts(drive, bundle, tmp_path) -> dict:
    if not _FACTS:
        _FACTS.update(json.loads(drive("drive_export.py", tmp_path, bundle, home=tmp_path)[-1]))
    return _FACTS


def test_one_undo_takes_back_all_that_came_with_a_head(facts):
    assert facts["undo"] == [True, True] and facts["redo"] and facts["names"] == ["anna"]


def test_maps_beside_the_blend(facts):
    refused, clean = facts["beside_unsaved"]
    assert "Save the .blend file first" in refused and clean
    refused, clean = facts["beside_refused"]
    assert "the maps cannot be saved to" in refused and "pack them into the .blend instead" in refused
    assert clean
    assert facts["beside"]["anna_albedo"] == ["//textures/anna_albedo-001.png", True, [16, 16], "sRGB"]
    assert facts["beside"]["anna_normal"] == ["//textures/anna_normal.png", True, [16, 16], "Non-Color"]
    # The second import shares the first one's files; somebody else's stays.
    assert facts["files"] == [
        "anna_albedo-001.png", "anna_albedo.png",
        "anna_normal.png", "anna_roughness.png", "anna_specular.png",
    ]  # fmt: skip


def test_a_reason_where_it_cannot_be_exported(facts):
    assert "Select a head first" in facts["no_head"]
    assert "There is no folder" in facts["bad_folder"]
    for sentence in facts["unwritable"].values():
        assert "cannot be written (file name too long): choose another place" in sentence
        assert "\n" not in sentence and "Traceback" not in sentence
    assert "is no FBX file name: end it in .fbx" in facts["bad_name"]
    assert "The head is hidden" in facts["hidden"]


def test_export_leaves_the_scene_as_it_was(facts):
    assert set(facts["export"].values()) == {"FINISHED"} and facts["export_left"] is True


@pytest.mark.parametrize("name", ["anna.glb", "anna.fbx", "anna.usd", "still.glb"])
def test_what_is_read_back(facts, name):
    """The active head alone, with its names, shapes within 0.1 mm, and animation where it was asked for."""
    read = facts["read"][name]
    assert read["keys"][1:] == KEYS and read["gap"] < 1e-4
    assert read["object"].startswith("anna")  # Blender 5.2 numbers what it reads from USD
    assert not {"LIGHT", "CAMERA"} & {*read["types"]} and read["worlds"] == 0
    assert read["materials"] == ["anna_skin", "anna_eyes", "anna_mouth"]
    assert read["animated"] == name.startswith("anna")
    assert read["seed"] == 7
