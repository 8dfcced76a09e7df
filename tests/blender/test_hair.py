"""Strands of a head as hair curves, in a real Blender."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from id3d_engine.strands import BEARD, BROW, LASH, SCALP, Strands

KEYS = ["mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen"]
COUNTS = {SCALP: 30, BEARD: 20, BROW: 6, LASH: 4}


def strands_on(head, random: np.random.Generator) -> Strands:
    """Straight ones of 5 cm, from triangles of the skin outwards."""
    skin = np.flatnonzero(head.part == 0)
    chosen = skin[random.integers(len(skin), size=sum(COUNTS.values()))]
    weights = random.dirichlet((2, 2, 2), len(chosen))
    corners = head.vertices[head.faces[chosen, :3]]
    root = np.einsum("sk,skc->sc", weights, corners)
    out = root - head.vertices[head.faces[head.part == 0]].mean(axis=(0, 1))
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    points = root[:, None] + np.linspace(0, 0.05, 8)[None, :, None] * out[:, None]
    return Strands(
        points.astype(np.float32),
        np.einsum("sk,skc->sc", weights, head.uv[chosen, :3]).astype(np.float32),
        np.full(len(chosen), 2e-4, np.float32),
        np.tile(np.float32([0.5, 0.25, 0.1]), (len(chosen), 1)),
        np.repeat(np.array([*COUNTS], np.uint8), [*COUNTS.values()]),
        melanin=0.5,
        redness=0.4,
        grey=0.0,
        curl=0.0,
    )


_FACTS: dict = {}  # of one process for all tests; `small_head` is made anew for each test


@pytest.fixture
def facts(drive, small_head, tmp_path) -> dict:
    if not _FACTS:
        strands = strands_on(small_head, np.random.default_rng(2))
        bundle = replace(small_head, strands=strands).write(tmp_path / "anna.head", preview=False)
        bald = small_head.write(tmp_path / "bald.head", preview=False)
        _FACTS.update(json.loads(drive("drive_hair.py", tmp_path, bundle, bald, home=tmp_path)[-1]))
    return _FACTS


def test_each_part_is_an_object_on_the_head(facts):
    parts = facts["parts"]
    assert {name: part["strands"] for name, part in parts.items()} == {
        "anna_beard": 20,
        "anna_brows": 10,
        "anna_hair": 30,
    }
    for part in parts.values():
        assert part["type"] == "CURVES" and part["surface"] == ["anna", "anna", "UVMap"]
        assert part["collection"] == "ID3D Head anna" and part["targets"] == ["CYCLES", "EEVEE"]
        assert len(part["radius"]) == 8
        assert part["radius"][0] == pytest.approx(6e-5) and part["radius"][-1] == pytest.approx(2e-4)
        # (0.5, 0.25, 0.1) of sRGB, linear
        assert part["colour"] == pytest.approx([0.2140, 0.0509, 0.0100, 1.0], abs=2e-4)
        # Hair of that orange lets red through; by its luminance, 0.083, green is half absorbed.
        red, green, blue = part["absorption"]
        assert 0.15 < red < 0.5 * green and green < 0.6 * blue and 0.4 < green < 0.9
    assert facts["active"] == ["anna"] and facts["skin"] == ["anna_skin", "anna_eyes", "anna_mouth"]


def test_hair_follows_the_shape_keys(facts):
    """To a micrometre, where the face itself moves by millimetres."""
    assert facts["still"] < 1e-6 and facts["off_neutral"] < 1e-6
    assert facts["off_moved"] < 1e-6 and facts["moved"] > 5e-4


def test_one_undo_takes_the_hair_along(facts):
    assert facts["undo"] == [True, True] and facts["redo"]


def test_deleting_a_head_takes_the_hair_along(facts):
    assert facts["delete"] == "FINISHED" and facts["left"] == ["bald"]
    assert facts["left_data"] == [0, ["ID3D Head bald"]]
    assert facts["deleted_and_undone"]


def test_an_appended_head_brings_its_hair(facts):
    hair = [[f"anna_{part}", "anna", True] for part in ("beard", "brows", "hair")]
    assert facts["appended"] == [["anna", "", True], *hair]


def test_a_head_without_strands_has_none(facts):
    assert facts["bald"] == ["bald", 0, False]


def test_lights_and_thumbnail_reach_around_the_hair(facts):
    bare, haired = facts["bounds"]
    assert haired > bare + 0.02
    assert facts["light"] == "FINISHED" and facts["no_light"] == ["FINISHED", True]
    assert facts["asset"] == ["FINISHED", True, [256, 256]]


@pytest.mark.parametrize("name", ["own.glb", "own.fbx", "own.usd", "all.glb", "all.fbx", "all.usd"])
def test_exports_keep_the_head(facts, name):
    assert facts["selection"] and facts["read"][name]["keys"] == [KEYS]


def test_usd_has_the_hair_that_is_shown(facts):
    strands = {name: found["hair"] for name, found in facts["read"].items()}
    assert strands.pop("own.usd") == strands.pop("all.usd") == 60 and strands.pop("shaved.usd") == 40
    assert set(strands.values()) == {0}
