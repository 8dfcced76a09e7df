"""The reader that Blender uses, against the writer that the engine uses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from id3d_engine.blender_scene.bundle import read_bundle, read_safetensors
from id3d_engine.errors import InputError
from id3d_engine.head import Head
from id3d_engine.strands import Strands


@pytest.fixture
def bundle(small_head, tmp_path):
    return small_head.write(tmp_path / "anna.head", preview=False)


def test_reads_what_was_written(small_head: Head, bundle):
    read = read_bundle(bundle)
    for name in ("vertices", "faces", "uv", "part", "shape_keys"):
        np.testing.assert_array_equal(getattr(read, name), getattr(small_head, name))
    assert read.names == small_head.names and read.name == "anna"
    assert set(read.textures) == {"albedo", "roughness", "specular", "normal", "smile_albedo"}
    assert read.info["provenance"]["seed"] == 7
    assert read_bundle(bundle / "head.json").name == "anna"


def test_reader_needs_neither_safetensors_nor_torch():
    """Nor bpy: Blender's Python lacks the first two, and a plain installation the last."""
    code = (
        "import sys, id3d_engine.blender_scene.bundle\n"
        "print(*({'torch', 'safetensors', 'bpy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int32, np.int64, np.uint8])
def test_every_type_reads_like_the_library(tmp_path, dtype):
    values = (np.arange(24).reshape(2, 3, 4) * 1.5).astype(dtype)
    save_file({"a": values, "empty": np.zeros((0, 3), dtype)}, tmp_path / "x", metadata={"k": "v"})
    arrays, metadata = read_safetensors(tmp_path / "x")
    np.testing.assert_array_equal(arrays["a"], values)
    assert arrays["a"].dtype == dtype and arrays["empty"].shape == (0, 3) and metadata == {"k": "v"}


@pytest.mark.parametrize("keep", [0, 5, 30, -40])
def test_damaged_geometry(bundle, keep):
    path = bundle / "geometry.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"geometry\.safetensors is damaged: copy the head again"):
        read_bundle(bundle)


def _strands(count: int = 3, **changes) -> Strands:
    columns = {
        "points": np.arange(count * 12, dtype=np.float32).reshape(count, 4, 3) / 100,
        "root_uv": np.full((count, 2), 0.5, np.float32),
        "radius": np.full(count, 2e-4, np.float32),
        "colour": np.full((count, 3), 0.3, np.float32),
        "kind": np.arange(count, dtype=np.uint8),
        "melanin": 0.6,
        "redness": 0.2,
        "grey": 0.1,
        "curl": 0.0,
    }
    return Strands(**columns | changes)


def test_reads_the_strands_that_were_written(bundle):
    assert read_bundle(bundle).hair is None
    wanted = _strands()
    wanted.write(bundle / "hair.safetensors")
    read = read_bundle(bundle).hair
    for name in ("points", "root_uv", "radius", "colour", "kind"):
        np.testing.assert_array_equal(getattr(read, name), getattr(wanted, name))
    assert (read.melanin, read.redness, read.grey, read.curl) == (0.6, 0.2, 0.1, 0.0)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"radius": np.ones(2, np.float32)}, r"hair\.safetensors is damaged: The strands' radius has shape"),
        ({"points": np.full((3, 4, 3), np.nan, np.float32)}, "damaged: A strand's point is not a finite"),
    ],
)
def test_damaged_strands(bundle, changes, reason):
    _strands(**changes).write(bundle / "hair.safetensors")
    with pytest.raises(InputError, match=reason):
        read_bundle(bundle)


def test_strands_without_pigments(bundle):
    save_file({"points": np.zeros((1, 4, 3), np.float32)}, bundle / "hair.safetensors")
    with pytest.raises(InputError, match=r"hair\.safetensors is incomplete \('hair'\): make the head again"):
        read_bundle(bundle)


def test_missing_geometry(bundle):
    (bundle / "geometry.safetensors").unlink()
    with pytest.raises(InputError, match=r"cannot be read \(no such file or directory\): copy the whole"):
        read_bundle(bundle)


def test_not_a_bundle(tmp_path):
    with pytest.raises(InputError, match=r"is not a head: choose a NAME\.head folder with a head\.json"):
        read_bundle(tmp_path)


def test_damaged_manifest(bundle):
    (bundle / "head.json").write_text("{")
    with pytest.raises(InputError, match=r"head\.json is damaged: copy the head again"):
        read_bundle(bundle)


def test_another_schema(bundle):
    (bundle / "head.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(InputError, match="has schema 99, this version reads 1: update ID3D"):
        read_bundle(bundle)


def _rewrite(bundle, small_head, names=None, **changes):
    arrays = {key: getattr(small_head, key) for key in ("vertices", "faces", "uv", "part", "shape_keys")}
    arrays |= changes
    metadata = {"shape_keys": json.dumps(names or small_head.names)}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    save_file(arrays, bundle / "geometry.safetensors", metadata=metadata)


def test_arrays_that_do_not_fit(bundle, small_head):
    _rewrite(bundle, small_head, uv=small_head.uv[:-1].copy())
    with pytest.raises(InputError, match=r"uv has shape \(\d+, 4, 2\) where \(\d+, 4, 2\) is due"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["uv", "part"])
def test_a_missing_array(bundle, small_head, name):
    _rewrite(bundle, small_head, **{name: None})
    with pytest.raises(InputError, match=rf"is incomplete \('{name}'\): make the head again"):
        read_bundle(bundle)


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_damaged_maps(bundle, content):
    path = bundle / "textures" / "albedo.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"albedo\.png is damaged: copy the head again, or make it again"):
        read_bundle(bundle)
    path.unlink()
    with pytest.raises(InputError, match=r"albedo\.png is missing: copy the whole \.head folder"):
        read_bundle(bundle)


@pytest.mark.parametrize(
    "change", [{"provenance": [1, 2]}, {"files": None}, {"files": {"geometry.safetensors": 1}}]
)
def test_a_manifest_of_other_things(bundle, change):
    path = bundle / "head.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match="is damaged: copy the head again, or make it again"):
        read_bundle(bundle)


def test_faces_without_vertices(bundle, small_head):
    _rewrite(bundle, small_head, faces=small_head.faces + 1)
    with pytest.raises(InputError, match="its faces do not fit its vertices"):
        read_bundle(bundle)


@pytest.mark.parametrize("bad", ["smile", "x" * 64, ""])
def test_names_that_blender_would_change(bundle, small_head, bad):
    _rewrite(bundle, small_head, names=["smile", bad, "jawOpen", "grin"])
    with pytest.raises(InputError, match="has shape keys that Blender cannot name"):
        read_bundle(bundle)
