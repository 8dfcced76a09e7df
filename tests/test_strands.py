"""Strands in the bundle: what is written is what is read, and they go where their roots go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from id3d_engine.errors import Id3dError, InputError
from id3d_engine.head import Head, validate
from id3d_engine.strands import BEARD, SCALP, Strands, anchors, joined


@pytest.fixture
def haired(small_head: Head) -> Head:
    """Three strands on the ball, rooted in the middles of three triangles."""
    chosen = [20, 55, 90]
    roots = small_head.vertices[small_head.triangles[chosen]].mean(axis=1)
    uv = small_head.triangle_uv[chosen].mean(axis=1)
    points = roots[:, None] + np.linspace(0, 0.03, 8)[None, :, None] * [0, 0, 1.0]
    strands = Strands(
        points.astype(np.float32),
        uv.astype(np.float32),
        np.full(3, 2e-4, np.float32),
        np.full((3, 3), 0.3, np.float32),
        np.array([SCALP, SCALP, BEARD], np.uint8),
        0.7, 0.2, 0.1, 0.4,
    )  # fmt: skip
    return replace(small_head, strands=strands)


def test_what_is_written_is_what_is_read(haired: Head, tmp_path: Path) -> None:
    folder = haired.write(tmp_path / "anna.head", preview=False)
    assert validate(folder) == []
    again = Head.read(folder).strands
    assert again is not None and haired.strands is not None
    for name in ("points", "root_uv", "radius", "colour", "kind"):
        assert np.array_equal(getattr(again, name), getattr(haired.strands, name)), name
    assert (again.melanin, again.redness, again.grey, again.curl) == (0.7, 0.2, 0.1, 0.4)
    (folder / "hair.safetensors").write_bytes(b"x")
    assert "hair.safetensors was changed" in validate(folder)[0]


def test_a_damaged_file_and_bad_arrays_are_refused(haired: Head, tmp_path: Path) -> None:
    path = tmp_path / "hair.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="cannot be read"):
        Strands.read(path)
    assert haired.strands is not None
    bald = replace(haired, strands=replace(haired.strands, radius=np.zeros(3, np.float32)))
    with pytest.raises(Id3dError, match="no thickness"):
        bald.write(tmp_path / "anna.head", preview=False)


def test_strands_go_where_their_roots_go_and_short_ones_turn(haired: Head) -> None:
    assert haired.strands is not None
    angle = 0.4
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    turned = haired.vertices @ turn.T + [0.01, 0.02, 0.03]
    keys = np.stack([turned - haired.vertices, *haired.shape_keys[1:]]).astype(np.float32)
    moved = replace(haired, shape_keys=keys).posed_strands(haired.names[0])
    points, hair = haired.strands.points, haired.strands.kind == SCALP
    expected = points @ turn.T + [0.01, 0.02, 0.03]
    assert np.abs(moved - expected)[~hair].max() < 1e-6
    # Long hair would swing about.
    assert np.abs(moved - (points + (expected - points)[:, :1]))[hair].max() < 1e-6
    assert haired.posed_strands("neutral") is haired.strands.points


def test_roots_are_found_by_their_uvs(haired: Head) -> None:
    assert haired.strands is not None
    found = anchors(haired.strands.root_uv, haired.triangles, haired.triangle_uv)
    assert np.allclose(found.places(haired.vertices), haired.strands.points[:, 0], atol=1e-6)


def test_strands_can_be_joined_and_chosen(haired: Head) -> None:
    assert haired.strands is not None
    beard = haired.strands.only(haired.strands.kind == BEARD)
    assert len(beard) == 1
    assert joined([beard, haired.strands]).kind.tolist() == [BEARD, SCALP, SCALP, BEARD]
