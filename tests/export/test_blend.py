"""A bundle as .blend: written by one process, read back by another."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from id3d_engine.creases import creases
from id3d_engine.errors import Id3dError, InputError, MissingDependency
from id3d_engine.export import blend
from id3d_engine.export.through_blender import write_blend
from id3d_engine.head import Head
from id3d_engine.template import load_template

needs_bpy = pytest.mark.skipif(find_spec("bpy") is None, reason="needs bpy")

_READ = """
import json, sys
import bpy
import numpy as np

bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
(head,) = [thing for thing in bpy.data.objects if thing.type == "MESH"]
mesh, keys = head.data, head.data.shape_keys.key_blocks

def read(collection, name, width, dtype=np.float32):
    values = np.empty(len(collection) * width, dtype)
    collection.foreach_get(name, values)
    return values.reshape(-1, width).tolist() if width > 1 else values.tolist()

def sockets(material):
    node = next(n for n in material.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
    linked = {}
    for socket in node.inputs:
        if socket.is_linked:
            source = socket.links[0].from_node
            if source.type == "NORMAL_MAP":
                linked["uv_map"] = source.uv_map
                source = source.inputs["Color"].links[0].from_node
            linked[socket.name] = source.image.name
    return linked

print(json.dumps({
    "name": head.name,
    "vertices": read(mesh.vertices, "co", 3),
    "corners": read(mesh.loops, "vertex_index", 1, np.int32),
    "totals": read(mesh.polygons, "loop_total", 1, np.int32),
    "part": read(mesh.polygons, "material_index", 1, np.int32),
    "sharp": [sorted(edge.vertices) for edge in mesh.edges if edge.use_edge_sharp],
    "smooth": all(read(mesh.polygons, "use_smooth", 1, bool)),
    "uv_layers": [layer.name for layer in mesh.uv_layers],
    "uv": read(mesh.uv_layers[0].uv, "vector", 2),
    "keys": [key.name for key in keys],
    "key_points": [read(key.points, "co", 3) for key in keys],
    "key_values": [[key.value, key.slider_min, key.slider_max] for key in keys],
    "relative": sorted({key.relative_key.name for key in keys}),
    "materials": {slot.name: sockets(slot) for slot in mesh.materials},
    "subsurface": [next(n for n in slot.node_tree.nodes if n.type == "BSDF_PRINCIPLED")
                   .inputs["Subsurface Weight"].default_value for slot in mesh.materials],
    "images": {image.name: [image.colorspace_settings.name, bool(image.packed_file),
                            image.packed_files[0].filepath, *image.size]
               for image in bpy.data.images if image.users},
    "top_left": list(bpy.data.images["anna_albedo"].pixels[-16 * 4:][:3]),
    "properties": {key: head[key] for key in head.keys()},
    "collections": {c.name: sorted(o.name for o in c.objects) for c in bpy.data.collections},
    "camera": bpy.context.scene.camera.name,
    "camera_y": bpy.context.scene.camera.location.y,
    "matrix": [list(row) for row in head.matrix_world],
}))
"""


@pytest.fixture
def bundle(small_head, tmp_path):
    return small_head.write(tmp_path / "anna.head", preview=False)


@needs_bpy
def test_everything_is_in_the_file(small_head: Head, bundle, tmp_path):
    out = write_blend(bundle, tmp_path / "anna.blend")
    command = [sys.executable, "-c", _READ, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.strip().splitlines()[-1])

    keep = np.ones(small_head.faces.shape, bool)
    keep[:, 3] = small_head.faces[:, 3] != small_head.faces[:, 2]
    assert set(facts["totals"]) == {3, 4}
    np.testing.assert_array_equal(facts["vertices"], small_head.vertices)
    np.testing.assert_array_equal(facts["corners"], small_head.faces[keep])
    np.testing.assert_array_equal(facts["totals"], keep.sum(axis=1))
    np.testing.assert_array_equal(facts["part"], small_head.part)
    np.testing.assert_array_equal(facts["uv"], small_head.uv[keep])
    assert facts["uv_layers"] == ["UVMap"] and facts["smooth"]
    np.testing.assert_array_equal(facts["matrix"], np.eye(4))

    assert facts["keys"] == ["Basis", *small_head.names] and facts["relative"] == ["Basis"]
    assert facts["key_values"] == [[0, 0, 1]] * 5
    expected = [small_head.vertices, *(small_head.vertices + small_head.shape_keys)]
    np.testing.assert_allclose(facts["key_points"], expected, atol=1e-7)

    maps = {"Base Color": "anna_albedo", "Roughness": "anna_roughness", "Normal": "anna_normal",
            "Specular IOR Level": "anna_specular", "uv_map": "UVMap"}  # fmt: skip
    assert facts["materials"]["anna_skin"] == facts["materials"]["anna_mouth"] == maps
    assert facts["materials"]["anna_eyes"] == {k: v for k, v in maps.items() if k != "Roughness"}
    assert list(facts["materials"]) == ["anna_skin", "anna_eyes", "anna_mouth"]
    assert facts["subsurface"][0] > 0 and facts["subsurface"][1] == 0
    assert facts["images"] == {
        "anna_albedo": ["sRGB", True, "//anna_albedo.png", 16, 16],
        "anna_roughness": ["Non-Color", True, "//anna_roughness.png", 16, 16],
        "anna_specular": ["Non-Color", True, "//anna_specular.png", 16, 16],
        "anna_normal": ["Non-Color", True, "//anna_normal.png", 16, 16],
    }
    # Blender's rows run upwards: the texture's top row is its last.
    np.testing.assert_allclose(facts["top_left"], small_head.textures["albedo"][0, 0] / 255, atol=1e-6)

    assert facts["properties"]["id3d_seed"] == 7 and facts["properties"]["id3d_schema"] == 1
    assert facts["collections"]["ID3D Head anna"] == ["anna"]
    assert facts["collections"]["ID3D Stage"] == ["ID3D Camera", "ID3D Fill", "ID3D Key", "ID3D Rim"]
    assert facts["camera"] == "ID3D Camera" and facts["camera_y"] < -0.3
    assert str(bundle) not in done.stdout.splitlines()[-1]  # nor does any image say where it came from


@needs_bpy
def test_a_bad_bundle_is_one_sentence(tmp_path):
    with pytest.raises(Id3dError, match=r"nobody\.head is not a head: choose a NAME\.head folder"):
        write_blend(tmp_path / "nobody.head", tmp_path / "x.blend")


@needs_bpy
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("x.glb", r"x\.glb is no BLEND file name: end it in \.blend"),
        ("missing/x.blend", "cannot be written: give a file name in a folder that exists"),
    ],
)
def test_a_bad_destination(bundle, tmp_path, name, sentence):
    for write in (blend.save_blend, write_blend):
        with pytest.raises(InputError, match=sentence):
            write(bundle, tmp_path / name)


def test_without_bpy(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(blend, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'id3d-engine\[bpy\]'"):
        blend.save_blend(bundle, tmp_path / "x.blend")


def test_usage(capsys):
    assert blend.main(["only one"]) == 2
    assert "usage: python -m id3d_engine.export.blend" in capsys.readouterr().err


def test_main_reports_an_error_as_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(blend, "find_spec", lambda name: None)
    assert blend.main([str(tmp_path), str(tmp_path / "x.blend")]) == 1
    assert "Blender's Python module is not installed" in capsys.readouterr().err


@needs_bpy
def test_the_necks_edge_is_sharp(template_head: Head, tmp_path):
    bundle = template_head.write(tmp_path / "anna.head", preview=False)
    out = write_blend(bundle, tmp_path / "anna.blend")
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(out)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    sharp = json.loads(done.stdout.strip().splitlines()[-1])["sharp"]
    found = creases(template_head.vertices, template_head.faces, template_head.uv)
    assert sorted(sharp) == sorted(found.tolist())
    neck = load_template().regions["neck"][found].all(axis=1)
    assert neck.sum() >= 42
