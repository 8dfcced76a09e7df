"""Light set-ups, the turntable and the asset's thumbnail, used in a real Blender."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def facts(drive, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("light")
    return json.loads(drive("drive_light.py", folder, home=folder)[-1])


def test_a_reason_where_it_does_not_apply(facts):
    assert all("Select a head first" in text for text in facts["no_head"])
    assert "There is no light set-up in this scene" in facts["no_setup"][0]
    assert "Add a turntable first" in facts["no_setup"][1]
    assert all("Switch to Object Mode" in text for text in facts["edit_mode"])


def test_each_setup_lights_from_its_side(facts):
    setups = facts["setups"]
    for answer, lights, hidden, world in setups.values():
        assert answer == "FINISHED" and world == "ID3D Light" and hidden == [[True, True], [True, True]]
        assert all(light["aims"] == 1 for light in lights.values())
    assert facts["collections"] == ["ID3D Head anna", "ID3D Light"]  # one replaces another
    (front,), (direct,), (diffused,) = (setups[k][1].values() for k in ("FRONT", "DIRECT", "DIFFUSED"))
    assert front["front"] > 0.9 and all(light["front"] < -0.6 for light in setups["BACK"][1].values())
    assert direct["size"] / direct["distance"] < 0.02 < 1 < diffused["size"] / diffused["distance"]


def test_removal_leaves_the_scene_as_it_was(facts):
    assert facts["removed"] == "FINISHED" and facts["as_before"] is True


def test_what_the_user_does_meanwhile_stays(facts):
    assert facts["world_kept"] == "sky" and facts["users"] == ["chosen", True]


def test_lights_follow_the_heads_size_place_and_heading(facts):
    small, large = facts["moved"]
    assert large["front"] == small["front"] and large["up"] == small["up"] and large["aims"] == 1
    assert large["distance"] == pytest.approx(4 * small["distance"])
    assert large["size"] == pytest.approx(4 * small["size"])
    assert large["brightness"] == pytest.approx(small["brightness"] / 2)  # strength was one half


def test_turntable_is_one_even_turn_from_the_front(facts):
    assert facts["turntable"] == "FINISHED" and facts["camera_in_use"] == "view"
    distances, aims, sides = zip(*facts["path"], strict=True)
    assert len(set(distances)) == 1 and set(aims) == {1}
    assert sides == pytest.approx([1, 0.71, 0, -0.71, -1, -0.71, 0, 0.71, 1])
    assert facts["one_turntable"] == ["FINISHED", ["ID3D Turntable Camera", "view"]]


def test_turntable_renders_into_a_folder_and_leaves_the_settings(facts):
    assert "choose where the pictures go" in facts["no_folder"]
    assert facts["rendered"] == "FINISHED" and facts["render_left"] is True
    assert facts["pictures"] == ["turntable_0011.png", "turntable_0012.png"]
    assert facts["turntable_gone"] == [["anna", "key", "off", "view"], 0, ["view"]]


def test_asset_with_a_picture_and_back(facts):
    assert facts["mark"] == "FINISHED" and facts["marking_left"] is True
    assert facts["asset"] == [
        "Anna", "CC0", "Made with ID3D: seed 7", ["ARKit", "expressions", "head"],
    ]  # fmt: skip
    size, coverage, brightest, corner = facts["thumbnail"]
    assert size == [256, 256] and 0.1 < coverage < 0.9 and brightest > 0.3 and corner == 0
    answer, cleared, again = facts["clear"]
    assert (answer, cleared) == ("FINISHED", True) and "marked as an asset" in again


def test_one_undo_takes_a_setup_back(facts):
    assert facts["undone"] == [False, "sky", False]


def test_nothing_is_left_registered(facts):
    assert facts["unregistered"] is False
