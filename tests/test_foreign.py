"""Our own exports and hand-made files, read as if another program had written them."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

from id3d_engine.errors import InputError
from id3d_engine.evaluate import evaluate
from id3d_engine.export.glb import write_glb
from id3d_engine.export.obj import write_obj
from id3d_engine.foreign import read_foreign
from id3d_engine.head import Head


def nearest(found: Head, head: Head) -> np.ndarray:
    """Of each vertex of `head`, the one of `found` at the same place."""
    from scipy.spatial import cKDTree

    distance, index = cKDTree(found.vertices).query(head.vertices)
    assert distance.max() < 1e-6
    return index


def test_a_glb_comes_back(small_head: Head, tmp_path: Path) -> None:
    found = read_foreign(write_glb(small_head, tmp_path / "a.glb"))
    assert found.names == small_head.names and len(found.vertices) == len(small_head.vertices)
    same = nearest(found, small_head)
    assert np.abs(found.shape_keys[:, same] - small_head.shape_keys).max() < 1e-6
    assert np.abs(found.textures["albedo"].astype(int) - small_head.textures["albedo"]).max() <= 1
    assert found.problems() == []
    corner = np.argmin(np.linalg.norm(found.vertices[found.faces[0, 0]] - small_head.vertices, axis=1))
    assert any(np.allclose(found.uv[0, 0], uv, atol=1e-6) for uv in small_head.uv[small_head.faces == corner])


def test_an_obj_comes_back_with_its_shapes(small_head: Head, tmp_path: Path) -> None:
    write_obj(small_head, tmp_path / "a.obj", ["smile", "jawOpen"])
    found = read_foreign(tmp_path / "a.obj")
    assert set(found.names) == {"smile", "jawOpen"}
    same = nearest(found, small_head)
    for name in found.names:
        before = small_head.shape_keys[small_head.names.index(name)]
        assert np.abs(found.shape_keys[found.names.index(name)][same] - before).max() < 1e-6
    (tmp_path / "a_grin.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match=r"a_grin\.obj has 1 vertices and a\.obj"):
        read_foreign(tmp_path / "a.obj")


def test_another_makers_file_is_measured(template_head: Head, tmp_path: Path) -> None:
    bundle = evaluate(template_head.write(tmp_path / "a.head", preview=False))
    found = evaluate(write_glb(template_head, tmp_path / "a.glb"))
    assert found.problems == [] and found.keys.keys() == bundle.keys.keys()
    for name, key in found.keys.items():
        assert key.largest_m == pytest.approx(bundle.keys[name].largest_m, abs=1e-6)
    assert found.uv.covered == pytest.approx(bundle.uv.covered, abs=0.01)


def glb(document: dict | list, binary: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = (
        struct.pack("<II", len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", len(binary), 0x004E4942)
        + binary
    )
    return struct.pack("<III", 0x46546C67, 2, 12 + len(body)) + body


def test_nodes_strides_and_centimetres(tmp_path: Path) -> None:
    """One triangle, interleaved with something else, turned, moved, and 28 units high."""
    points = np.array([[0, 0, 0], [28, 0, 0], [0, 10, 0]], "<f4")
    data = np.concatenate([points, np.full((3, 3), 7, "<f4")], axis=1).tobytes()
    half = float(np.sqrt(0.5))
    document = {
        "asset": {"version": "2.0"},
        "nodes": [{"children": [1], "translation": [0, 5, 0]}, {"mesh": 0, "rotation": [0, 0, half, half]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "targets": [{"POSITION": 1}]}]}],
        "bufferViews": [{"buffer": 0, "byteLength": len(data), "byteStride": 24}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3},
            {"bufferView": 0, "byteOffset": 12, "componentType": 5126, "type": "VEC3", "count": 3},
        ],
        "buffers": [{"byteLength": len(data)}],
    }
    (tmp_path / "a.glb").write_bytes(glb(document, data))
    found = read_foreign(tmp_path / "a.glb")
    # A quarter turn about Z takes x to y; then y is up, which becomes z; centimetres become metres.
    expected = [[0, 0, 0.05], [0, 0, 0.33], [-0.1, 0, 0.05]]
    assert np.allclose(found.vertices[found.faces[0, :3]], expected, atol=1e-6)
    assert found.names == ("target_0",) and np.allclose(found.shape_keys, [-0.07, -0.07, 0.07], atol=1e-6)


def test_damaged_files(tmp_path: Path) -> None:
    damaged = {
        "a.glb": b"glTF",
        "b.glb": b"no such thing at all",
        "list.glb": glb([], b""),
        "c.obj": b"f 1 2 3\n",
        "plane.obj": b"v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n",
        "ragged.obj": b"v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "flat.obj": b"v 0 0 0\nv 1 0 0\nv 0 0 1\nf 1 2 3\n",
        "endless.obj": b"v 0 nan 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
    }
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        with warnings.catch_warnings(), pytest.raises(InputError) as caught:
            warnings.simplefilter("error")
            read_foreign(tmp_path / name)
        kind = name[-3:].upper()
        assert str(caught.value) == f"{tmp_path / name} is damaged or no {kind} file: export it again"
    (tmp_path / "d.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputError, match="holds no triangles"):
        read_foreign(tmp_path / "d.obj")
    with pytest.raises(InputError, match="there is no file"):
        read_foreign(tmp_path / "e.glb")
