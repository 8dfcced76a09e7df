"""OBJ files: quads, one vertex list, and the same order in every expression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from id3d_engine.errors import InputError
from id3d_engine.export.axes import to_y_up
from id3d_engine.export.obj import write_obj
from id3d_engine.head import Head


def _rows(path: Path, keyword: str) -> list[list[str]]:
    lines = path.read_text().splitlines()
    return [line.split()[1:] for line in lines if line.startswith(keyword + " ")]


def test_the_mesh_arrives(small_head: Head, tmp_path: Path) -> None:
    path = tmp_path / "anna.obj"
    write_obj(small_head, path)
    vertices = np.array(_rows(path, "v"), float)
    assert np.abs(vertices - to_y_up(small_head.vertices)).max() < 1e-6
    uv = np.array(_rows(path, "vt"), float)
    faces = _rows(path, "f")
    assert len(faces) == len(small_head.faces)
    order = np.argsort(small_head.part, kind="stable")
    for words, index in zip(faces, order, strict=True):
        corners = np.array([word.split("/") for word in words], int) - 1
        quad = small_head.faces[index]
        count = 3 if quad[2] == quad[3] else 4
        assert corners[:, 0].tolist() == quad[:count].tolist()
        assert np.abs(uv[corners[:, 1]] - small_head.uv[index, :count]).max() < 1e-5
    assert [words[0] for words in _rows(path, "usemtl")] == ["anna_skin", "anna_eyes", "anna_mouth"]


def test_materials_name_the_maps(small_head: Head, tmp_path: Path) -> None:
    files = write_obj(small_head, tmp_path / "anna.obj")
    assert {file.name for file in files} == {
        "anna.obj", "anna.mtl",
        "anna_albedo.png", "anna_roughness.png", "anna_specular.png", "anna_normal.png",
    }  # fmt: skip
    text = (tmp_path / "anna.mtl").read_text()
    assert text.count("newmtl") == text.count("map_Kd anna_albedo.png") == 3
    assert "map_Pr anna_roughness.png" in text
    pixels = np.asarray(Image.open(tmp_path / "anna_roughness.png"))
    assert np.array_equal(pixels, small_head.textures["roughness"])


def test_expressions_keep_the_vertex_order(small_head: Head, tmp_path: Path) -> None:
    files = write_obj(small_head, tmp_path / "anna.obj", ["smile"])
    assert files[1] == tmp_path / "anna_smile.obj"
    neutral, smile = (np.array(_rows(file, "v"), float) for file in files[:2])
    assert np.abs(smile - neutral - to_y_up(small_head.shape_keys[1])).max() < 1e-6
    assert _rows(files[0], "f") == _rows(files[1], "f")
    with pytest.raises(InputError, match="has no expression 'grin'"):
        write_obj(small_head, tmp_path / "anna.obj", ["grin"])


def test_trimesh_reads_it(small_head: Head, tmp_path: Path) -> None:
    write_obj(small_head, tmp_path / "anna.obj")
    loaded = trimesh.load(tmp_path / "anna.obj", force="mesh")
    assert np.allclose(loaded.extents, np.ptp(to_y_up(small_head.vertices), axis=0), atol=1e-6)
