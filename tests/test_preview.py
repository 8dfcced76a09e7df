"""Previews and relighting: the right pictures in the right cells, and light where it should be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from id3d_engine.assets.appearance import AppearanceParameters, style_logits
from id3d_engine.errors import InputError
from id3d_engine.haired import haired
from id3d_engine.head import Head, read_manifest
from id3d_engine.portrait import Sitter
from id3d_engine.preview import COLUMNS, contact_sheet, render_preview
from id3d_engine.relight import render_relit
from id3d_engine.render.lights import directional, preset
from id3d_engine.template import load_template


@pytest.fixture
def plain_head(small_head: Head) -> Head:
    """White and matt all over, so that brightness is light."""
    maps = {
        "albedo": np.full((16, 16, 3), 0.8),
        "roughness": np.full((16, 16), 0.9),
        "specular": np.zeros((16, 16)),
    }
    return dataclasses.replace(small_head, textures=maps)


def test_a_preview_has_a_row_for_each_expression(small_head: Head) -> None:
    sheet = render_preview(small_head, cell=40)
    rows, columns = 1 + len(small_head.expressions), len(COLUMNS) + 1
    left, top = sheet.shape[1] - 40 * columns, sheet.shape[0] - 40 * rows
    assert (rows, columns) == (3, 5)
    cells = sheet[top:, left:].reshape(rows, 40, columns, 40, 3).transpose(0, 2, 1, 3, 4)
    for row in range(rows):
        for column in range(columns):
            assert cells[row, column].std() > 5, (row, column)
        assert (cells[row, 4][:2] == 0).all()  # normals stand on black
    assert not np.array_equal(cells[0, 0], cells[1, 0])  # an expression changes the picture
    assert sheet[:top].min() < 120  # titles are written
    assert sheet[top:, : left - 1].min() < 120


def test_contact_sheet_places_pictures() -> None:
    red, blue = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = contact_sheet([("a", [red, blue]), ("b", [blue, red])], ["x", "y"])
    assert (sheet[-16:-8, -16:-8] == red).all()
    assert (sheet[-8:, -8:] == red).all()
    assert (sheet[-8:, -16:-8] == blue).all()


def test_the_bundle_gets_its_preview(small_head: Head, tmp_path: Path) -> None:
    neutral = dataclasses.replace(
        small_head, names=small_head.names[2:], shape_keys=small_head.shape_keys[2:]
    )
    neutral.textures.pop("smile_albedo")
    folder = neutral.write(tmp_path / "a.head")
    assert Image.open(folder / "preview.png").size[0] > 1000
    assert "preview.png" in read_manifest(folder)["files"]


def test_the_frame_holds_the_whole_head_from_every_side(plain_head: Head) -> None:
    sitter = Sitter(plain_head)
    for azimuth in (0.0, 90.0, 180.0, 270.0):
        normals = sitter.normals("neutral", [azimuth], 64)[0]
        rows, columns = np.nonzero(normals.any(-1))
        assert rows.min() >= 1 and rows.max() <= 62 and columns.min() >= 1 and columns.max() <= 62
        assert rows.max() - rows.min() > 40


def test_light_from_the_left_lights_the_left(plain_head: Head) -> None:
    lamp = directional([[1.0, -0.2, 0.0]], [[3.0, 3.0, 3.0]])
    picture = Sitter(plain_head).shaded("neutral", [0.0], lamp, 64)[0].astype(float)
    # The head's own left is the viewer's right.
    assert picture[24:40, 40:46].mean() > picture[24:40, 18:24].mean() + 60


def test_several_views_equal_single_views(plain_head: Head) -> None:
    sitter = Sitter(plain_head)
    both = sitter.shaded("smile", [0.0, 90.0], preset("studio"), 32)
    for index, azimuth in enumerate((0.0, 90.0)):
        assert np.array_equal(both[index], sitter.shaded("smile", [azimuth], preset("studio"), 32)[0])


def test_a_flat_normal_map_changes_nothing(plain_head: Head) -> None:
    flat = np.full((16, 16, 3), (0.5, 0.5, 1.0), np.float32)
    mapped = dataclasses.replace(plain_head, textures=plain_head.textures | {"normal": flat})
    lights = preset("direct")
    without = Sitter(plain_head).shaded("neutral", [0.0], lights, 48).astype(int)
    with_map = Sitter(mapped).shaded("neutral", [0.0], lights, 48).astype(int)
    assert np.abs(without - with_map).mean() < 1.0


def test_a_head_without_maps_can_be_pictured(plain_head: Head) -> None:
    bare = dataclasses.replace(plain_head, textures={})
    assert Sitter(bare).shaded("neutral", [0.0], preset("front"), 32).std() > 5


@pytest.mark.parametrize("light", ["front", "back", "direct", "diffuse"])
def test_every_light_gives_three_views(plain_head: Head, light: str) -> None:
    assert render_relit(plain_head, light, size=24).shape == (24, 72, 3)


def test_lights_differ(plain_head: Head) -> None:
    def middle(light: str) -> float:
        return float(render_relit(plain_head, light, size=48)[18:30, 66:78].mean())

    assert middle("front") > middle("back") + 30
    with pytest.raises(InputError, match="unknown light 'disco': choose one of front, back"):
        render_relit(plain_head, "disco")
    with pytest.raises(InputError, match="has no expression 'grin'"):
        render_relit(plain_head, "front", expression="grin", size=16)


def test_strands_are_drawn_and_shade_the_skin(template_head: Head) -> None:
    head = dataclasses.replace(template_head, textures={})
    black = AppearanceParameters(style_logits=style_logits("long"), hair_melanin=1.0)
    blond = dataclasses.replace(black, hair_melanin=0.05)
    frame = haired(head, black, load_template(), 0)
    bald, dark, light = (
        Sitter(h).shaded("neutral", [0.0, 180.0], preset("studio"), 96).astype(float)
        for h in (dataclasses.replace(head, strands=None), frame, haired(head, blond, load_template(), 0))
    )
    crown = (slice(20, 40), slice(38, 58))
    assert bald[1][crown].mean() > 100 and dark[1][crown].mean() < 60
    assert light[1][crown].mean() > dark[1][crown].mean() + 40
    assert dark[1][crown].std() > 2  # strands, not a cap of one colour
    smiling = Sitter(frame).shaded("smile", [0.0], preset("studio"), 96)
    assert not np.array_equal(smiling[0], dark[0].astype(np.uint8))


def test_hair_goes_behind_the_head(template_head: Head) -> None:
    look = AppearanceParameters(style_logits=style_logits("long"), hair_melanin=1.0, brow_density=0.0)
    head = haired(dataclasses.replace(template_head, textures={}), look, load_template(), 0)
    front = Sitter(head).shaded("neutral", [0.0], preset("front"), 96)[0]
    low, high = head.strands.points[..., 2].min(), head.strands.points[..., 2].max()
    nose = head.vertices[load_template().landmarks["nose_tip"], 2]
    row = round(96 * (0.5 - (nose - (low + high) / 2) / (1.12 * (high - low))))
    assert front[row - 2 : row + 2, 45:51].mean() > 110  # the face is free
