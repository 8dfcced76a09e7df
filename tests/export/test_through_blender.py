"""What Blender itself makes of our files: .blend, FBX and USD from it, and our GLB read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from id3d_engine.errors import Cancelled, Id3dError, InputError, MissingDependency
from id3d_engine.export import through_blender
from id3d_engine.export.glb import write_glb
from id3d_engine.head import Head

_READ = """
import json, sys, bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
{load}
meshes = [o for o in bpy.data.objects if o.type == "MESH" and o.data.shape_keys]
head = meshes[0]
keys = head.data.shape_keys.key_blocks
world = head.matrix_world
print("ANSWER" + json.dumps({{
    "names": [k.name for k in keys],
    "values": [k.value for k in keys],
    "points": [[list(world @ p.co) for p in k.points] for k in keys],
    "types": sorted(o.type for o in bpy.data.objects),
    "materials": [m.name for m in head.data.materials],
    "principled": [
        {{s.name: bool(s.links) for s in n.inputs}}
        for m in head.data.materials for n in m.node_tree.nodes if n.type == "BSDF_PRINCIPLED"
    ],
}}))
"""


def read_in_blender(load: str, path: Path) -> dict:
    """Open a file in a Blender process of its own and describe the head in it."""
    pytest.importorskip("bpy")
    script = _READ.format(load=load.format(path=str(path)))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert lines, done.stderr
    return json.loads(lines[0].removeprefix("ANSWER"))


def _matches(points: np.ndarray, vertices: np.ndarray, tolerance_m: float) -> bool:
    """Every read point is one of the head's, and none of the head's is missing."""
    gaps = np.linalg.norm(points[:, None] - vertices[None], axis=-1)
    return bool(gaps.min(1).max() < tolerance_m and gaps.min(0).max() < tolerance_m)


@pytest.mark.slow
def test_blender_reads_our_glb(small_head: Head, tmp_path: Path) -> None:
    path = write_glb(small_head, tmp_path / "anna.glb", morph_normals=True)
    found = read_in_blender("bpy.ops.import_scene.gltf(filepath={path!r})", path)
    assert found["names"] == ["Basis", *small_head.names]
    points = np.array(found["points"])
    assert _matches(points[0], small_head.vertices, 1e-6)
    for index, name in enumerate(small_head.names):
        assert _matches(points[index + 1], small_head.posed(name), 1e-6), name
    assert found["materials"] == ["anna_skin", "anna_eyes", "anna_mouth"]
    for sockets in found["principled"]:
        linked = {name for name, is_linked in sockets.items() if is_linked}
        assert {"Base Color", "Roughness", "Normal", "Specular IOR Level"} <= linked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "load", "tolerance_m"),
    [
        ("blend", "bpy.ops.wm.open_mainfile(filepath={path!r})", 1e-6),
        ("fbx", "bpy.ops.import_scene.fbx(filepath={path!r})", 1e-5),
        ("usd", "bpy.ops.wm.usd_import(filepath={path!r})", 1e-5),
    ],
)
def test_shape_keys_survive_blenders_formats(
    small_head: Head, tmp_path: Path, kind: str, load: str, tolerance_m: float
) -> None:
    pytest.importorskip("bpy")
    bundle = small_head.write(tmp_path / "anna.head", preview=False)
    path = tmp_path / f"anna.{kind}"
    if kind == "blend":
        through_blender.write_blend(bundle, path)
    else:
        through_blender.convert(bundle, path, kind)
    found = read_in_blender(load, path)
    assert kind == "blend" or not {"LIGHT", "CAMERA"} & set(found["types"])
    assert found["names"][1:] == list(small_head.names)
    assert all(value == 0 for value in found["values"][1:])
    points = np.array(found["points"])
    for index, name in enumerate(("neutral", *small_head.names)):
        assert _matches(points[index], small_head.posed(name), tolerance_m), name


def test_without_bpy_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through_blender, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"run `pip install 'id3d-engine\[bpy\]'`"):
        through_blender.write_blend(tmp_path / "a.head", tmp_path / "a.blend")
    with pytest.raises(MissingDependency, match=r"or import head\.glb"):
        through_blender.convert(tmp_path / "a.head", tmp_path / "a.fbx", "fbx")


def test_unknown_formats_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of fbx, usd"):
        through_blender.convert(tmp_path / "a.head", tmp_path / "a.stl", "stl")
    with pytest.raises(InputError, match="is no USD file name"):
        through_blender.convert(tmp_path / "a.head", tmp_path / "a.txt", "usd")


_CHILD = """
import os, sys
from pathlib import Path
out = Path(sys.argv[1])
(out.parent / "textures").mkdir()
(out.parent / "textures" / "albedo.png").write_text("new")
out.write_text(str(getattr(os, "getsid", int)(0)))
"""


def test_what_a_child_writes_takes_its_place_when_it_is_complete(tmp_path: Path) -> None:
    out, old = tmp_path / "a.usd", tmp_path / "textures" / "albedo.png"
    old.parent.mkdir()
    for path in (out, old):
        path.write_text("old")
    with pytest.raises(Id3dError, match=r"could not write .*a\.usd: ZeroDivisionError: division by zero"):
        through_blender._run(["-c", f"{_CHILD}1 / 0"], out)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match=r"cancelled before .*a\.usd was written: `id3d export` writes it"):
        through_blender._run(["-c", _CHILD], out, cancel)
    assert out.read_text() == old.read_text() == "old"
    through_blender._run(["-c", _CHILD], out)
    assert old.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.usd", "textures"]


@pytest.mark.skipif(not hasattr(os, "getsid"), reason="another system's way")
def test_ctrl_c_does_not_reach_a_child(tmp_path: Path) -> None:
    through_blender._run(["-c", _CHILD], tmp_path / "a.usd")
    assert int((tmp_path / "a.usd").read_text()) != os.getsid(0)


def test_a_failing_child_is_quoted(tmp_path: Path) -> None:
    pytest.importorskip("bpy")
    with pytest.raises(Id3dError, match=r"Blender could not write .*a\.blend: .*nobody\.head"):
        through_blender.write_blend(tmp_path / "nobody.head", tmp_path / "a.blend")
