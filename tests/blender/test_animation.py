"""Expressions and their animation, as the panel's operators make them in a real Blender."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from id3d_engine.expressions import ARKIT_NAMES, EXPRESSION_NAMES

ROOT = Path(__file__).parents[2]
NAMES = (*EXPRESSION_NAMES, *ARKIT_NAMES)


@pytest.fixture(scope="module")
def facts(drive, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("recordings")
    names = ",".join(EXPRESSION_NAMES), ",".join(ARKIT_NAMES)
    lines = drive("drive_animation.py", folder, *names, home=folder)
    return json.loads(lines[-1]) | {"said": [line for line in lines if line.startswith("Info: ")]}


def test_the_addons_names_are_the_engines():
    file = ROOT / "blender_addon" / "animation" / "names.py"
    spec = importlib.util.spec_from_file_location("id3d_addon_names", file)
    names = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(names)
    assert names.EXPRESSIONS == EXPRESSION_NAMES
    titles = [names.region(name) for name in ARKIT_NAMES]
    assert set(titles) == set(names.REGIONS.values())
    assert titles.count("Eyes") == 14 and titles.count("Mouth") == 23
    assert {names.region(name) for name in (*EXPRESSION_NAMES, "jawline", "eye")} == {None}


def test_only_a_head_is_taken(facts):
    for key in ("no_head", "not_a_head"):
        assert "Select a head with expressions first" in facts[key]
    assert "This head is linked: make a library override" in facts["linked"]
    assert facts["unregistered"] == [False, False]


def test_reset_mirror_and_blend_set_the_sliders(facts):
    assert facts["reset"] == ["FINISHED", {}]
    assert facts["mirror"] == [
        "FINISHED",
        {
            "mouthSmileRight": 0.75,
            "jaw_left": 0.5,
            "jawOpen": 0.25,
            "browDownLeft": 0.125,
            "browDownRight": 1,
        },
    ]
    assert facts["blend"] == ["FINISHED", {"grin": 0.75, "sadness": 0.25, "jawOpen": 0.5}]
    assert "anna has no expression 'joy': choose one of its shape keys" in facts["blend_unknown"]
    assert facts["blend_slider"] == {"smile": 0.25, "anger": 0.75}


def test_favourites_are_the_expressions_until_stars_change_them(facts):
    assert facts["favourites"] == list(EXPRESSION_NAMES)
    assert facts["favourites_changed"] == ["mouth_stretch", "brow_lower", "jawOpen"]


def test_keyframes_of_favourites_of_what_is_up_and_of_all(facts):
    assert facts["keyed_favourites"] == sorted({*EXPRESSION_NAMES, "jawOpen"} - {"smile"})
    assert facts["keyed_nonzero"] == ["smile"]
    assert facts["keyed_all"] == [len(NAMES), [[7, 1]], False]
    assert "No expression to key: raise a slider first" in facts["key_nothing"]


def test_auto_keying_keys_what_changed(facts):
    assert facts["auto_keyed"] == {"smile": 0}


def test_the_example_shows_expressions_and_ends_in_neutral(facts):
    played = facts["example_played"]
    assert facts["example"] == "FINISHED" and played["range"][0] == 11
    assert set(played["shown"]) <= set(NAMES) and len(played["shown"]) == 8
    assert played["before_and_after"] == []
    assert played["highest"] == pytest.approx(0.9) and played["together"] == 2  # one goes, one comes
    assert played["fastest"] < 0.2 and played["blinks"] == 4
    assert facts["slots"] in (True, ["KEY"])
    assert facts["unusual_head"] == "FINISHED"


def test_a_recording_plays_at_the_scenes_rate(facts):
    imported = facts["imported"]
    assert facts["import"] == "FINISHED" and imported["action"] == "take one"
    assert imported["curves"] == len(ARKIT_NAMES)
    assert imported["frames"] == [77, 173, 97]  # four seconds at 24
    # One second without a face, then the ramp up and down, read at 60 frames a second.
    assert imported["values"] == pytest.approx([0, 0, 0.5, 1, 0], abs=1e-5)
    assert imported["played"] == {"jawOpen": 0.5}
    assert imported["former"] == ["anna Example", True]
    assert imported["scene_end"] == 50 and facts["extended"] == ["FINISHED", 97]


def test_an_action_is_taken_off_and_kept(facts):
    assert facts["removed"] == ["FINISHED", {}, True]
    assert "This head has no animation" in facts["remove_nothing"]


def test_what_does_not_fit_is_said(facts):
    said = " ".join(facts["said"])
    assert "frames 77 to 173; no shape key for HeadYaw, HeadPitch, HeadRoll and 6 more; left out 2" in said
    assert "no shape key for Whiskers; no column for browDownLeft, browDownRight, browInnerUp and 48" in said


def test_thirty_frames_a_second_over_midnight_and_names_in_capitals(facts):
    assert facts["midnight"] == [["jawOpen"], 120, 120, 0.993]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing", "missing.csv cannot be read (no such file or directory): choose another file"),
        ("empty", "empty.csv is not a Live Link Face recording: its first line must begin with Timecode,"),
        ("binary", "binary.csv is not a text file: choose the recording's CSV"),
        ("other", "other.csv is not a Live Link Face recording"),
        ("no_rows", "no_rows.csv has fewer than two frames with a face: record it again"),
        ("one_row", "one_row.csv has fewer than two frames with a face: record it again"),
        ("clock", "clock.csv, line 3: 'soon' is no timecode (HH:MM:SS:FF.fff)"),
        ("short", "short.csv, line 3 has 3 columns where the first line has 4: the file is damaged"),
        ("word", "word.csv, line 3 has a value that is no number"),
        ("nan", "nan.csv, line 3 has a value that is no number"),
        ("nothing", "nothing.csv has no column that is named like a shape key of anna"),
    ],
)
def test_a_bad_file_gives_one_sentence(facts, name, sentence):
    assert sentence in facts["bad"][name]
    assert len(facts["bad"][name].splitlines()) == 1


def test_a_bad_file_leaves_nothing_behind(facts):
    assert facts["left_behind"]


def test_a_minute_is_imported_at_once(facts):
    assert facts["minute"] == "FINISHED" and facts["minute_keyframes"] == 3600 * len(ARKIT_NAMES)
    assert facts["minute_s"] < 2  # of processor time; 0.3 s where this was written
