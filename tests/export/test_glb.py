"""GLB files: what other programs read is the head, with its names, axes and materials."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from id3d_engine.assets.appearance import AppearanceParameters, style_logits
from id3d_engine.export.axes import flip_v, to_y_up
from id3d_engine.export.glb import to_glb, write_glb
from id3d_engine.export.glb_hair import MOST_TRIANGLES
from id3d_engine.export.surface import smooth_normals, split_parts
from id3d_engine.haired import haired
from id3d_engine.head import Head
from id3d_engine.strands import SCALP
from id3d_engine.template import load_template

_DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


class Parsed:
    """A reader of GLB that shares nothing with the writer."""

    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data))
        json_length, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.document = json.loads(data[20 : 20 + json_length])
        start = 20 + json_length
        binary_length, kind = struct.unpack_from("<I4s", data, start)
        assert kind == b"BIN\0"
        assert binary_length % 4 == json_length % 4 == 0
        self.binary = data[start + 8 : start + 8 + binary_length]
        assert self.document["buffers"][0]["byteLength"] == binary_length

    def view(self, index: int) -> bytes:
        view = self.document["bufferViews"][index]
        return self.binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]

    def accessor(self, index: int) -> NDArray:
        entry = self.document["accessors"][index]
        width, dtype = _WIDTH[entry["type"]], _DTYPES[entry["componentType"]]
        values = np.zeros((entry["count"], width), dtype)
        if "bufferView" in entry:
            values[:] = np.frombuffer(self.view(entry["bufferView"]), dtype).reshape(-1, width)
        if "sparse" in entry:
            sparse = entry["sparse"]
            rows = np.frombuffer(
                self.view(sparse["indices"]["bufferView"]), _DTYPES[sparse["indices"]["componentType"]]
            )
            assert (np.diff(rows.astype(int)) > 0).all()
            rows_values = np.frombuffer(self.view(sparse["values"]["bufferView"]), dtype)
            values[rows] = rows_values.reshape(-1, width)
        for bound, reduce in (("min", np.min), ("max", np.max)):
            if bound in entry:
                assert np.allclose(entry[bound], reduce(values, axis=0), atol=0)
        return values

    def image(self, name: str) -> NDArray[np.uint8]:
        entry = next(image for image in self.document["images"] if image["name"] == name)
        return np.asarray(Image.open(io.BytesIO(self.view(entry["bufferView"]))))


def _by_source(head: Head, parsed: Parsed, pick: str, target: int | None = None) -> NDArray[np.float32]:
    """Values of all primitives brought back to the head's vertex order; split vertices must agree."""
    values = np.full((len(head.vertices), 3), np.nan, np.float32)
    for part, primitive in zip(split_parts(head), parsed.document["meshes"][0]["primitives"], strict=True):
        source = primitive["attributes"] if target is None else primitive["targets"][target]
        found = parsed.accessor(source[pick])
        for vertex, value in zip(part.source, found, strict=True):
            assert np.isnan(values[vertex, 0]) or np.array_equal(values[vertex], value)
            values[vertex] = value
    return values


def test_every_vertex_normal_and_offset_arrives(small_head: Head) -> None:
    parsed = Parsed(to_glb(small_head, "anna", morph_normals=True))
    mesh = parsed.document["meshes"][0]
    assert mesh["extras"]["targetNames"] == list(small_head.names)
    assert mesh["weights"] == [0.0] * 4
    assert np.allclose(_by_source(small_head, parsed, "POSITION"), to_y_up(small_head.vertices), atol=1e-7)
    normals = smooth_normals(small_head.vertices, small_head.triangles)
    assert np.allclose(_by_source(small_head, parsed, "NORMAL"), to_y_up(normals), atol=1e-6)
    for key, offsets in enumerate(small_head.shape_keys):
        found = _by_source(small_head, parsed, "POSITION", key)
        assert np.allclose(found, to_y_up(offsets), atol=1e-6), small_head.names[key]
        posed = smooth_normals(small_head.vertices + offsets, small_head.triangles)
        turned = _by_source(small_head, parsed, "NORMAL", key)
        assert np.allclose(turned, to_y_up(posed - normals), atol=1e-6), small_head.names[key]


def test_triangles_keep_their_uvs_and_their_side(small_head: Head) -> None:
    parsed = Parsed(to_glb(small_head))
    centres = {"skin": (0, 0, 0.12), "eyes": (0.03, -0.09, 0.15), "mouth": (0, -0.08, 0.08)}
    for part, primitive in zip(
        split_parts(small_head), parsed.document["meshes"][0]["primitives"], strict=True
    ):
        positions = parsed.accessor(primitive["attributes"]["POSITION"])
        uv = parsed.accessor(primitive["attributes"]["TEXCOORD_0"])
        triangles = parsed.accessor(primitive["indices"]).reshape(-1, 3)
        value = ("skin", "eyes", "mouth").index(part.name)
        faces = small_head.part == value
        wanted = {
            frozenset((int(v), *np.float32(t).tolist()) for v, t in zip(f, t, strict=True))
            for f, t in zip(small_head.faces[faces], small_head.uv[faces], strict=True)
        }
        corners = [
            frozenset((int(part.source[i]), *flip_v(uv[i]).tolist()) for i in triangle)
            for triangle in triangles
        ]
        rounded = {frozenset((v, round(s, 5), round(t, 5)) for v, s, t in face) for face in wanted}
        for corner in corners:
            flat = {(v, round(s, 5), round(t, 5)) for v, s, t in corner}
            assert any(flat <= face for face in rounded)
        quads = (small_head.faces[faces][:, 2] != small_head.faces[faces][:, 3]).sum()
        assert len(triangles) == faces.sum() + quads
        a, b, c = positions[triangles].transpose(1, 0, 2)
        outward = np.cross(b - a, c - a) * ((a + b + c) / 3 - to_y_up(np.array(centres[part.name])))
        assert (outward.sum(1) > 0).all()


def test_vertices_are_split_only_at_the_seam(small_head: Head) -> None:
    for part in split_parts(small_head):
        # 7 rings of 12 share all but the seam; at a pole each of the 12 fans has its own u.
        assert len(part.source) == 7 * 13 + 2 * 12
        assert len(set(part.source.tolist())) == 7 * 12 + 2


def test_materials_follow_the_specification(small_head: Head) -> None:
    parsed = Parsed(to_glb(small_head, "anna"))
    document = parsed.document
    assert document["extensionsUsed"] == ["KHR_materials_specular"]
    assert [m["name"] for m in document["materials"]] == ["anna_skin", "anna_eyes", "anna_mouth"]
    for material in document["materials"]:
        surface = material["pbrMetallicRoughness"]
        assert surface["metallicFactor"] == 0.0
        assert surface["roughnessFactor"] == 1.0
        names = {
            "albedo": surface["baseColorTexture"]["index"],
            "roughness": surface["metallicRoughnessTexture"]["index"],
            "normal": material["normalTexture"]["index"],
            "specular": material["extensions"]["KHR_materials_specular"]["specularTexture"]["index"],
        }
        for name, index in names.items():
            assert document["images"][document["textures"][index]["source"]]["name"] == name
    assert np.array_equal(parsed.image("albedo"), small_head.textures["albedo"])
    packed = parsed.image("roughness")
    assert np.array_equal(packed[..., 1], small_head.textures["roughness"])
    assert not packed[..., 2].any()
    # Blender's 0.5 is glTF's 1.0.
    alpha = parsed.image("specular")[..., 3].astype(int)
    assert np.array_equal(alpha, np.minimum(2 * small_head.textures["specular"].astype(int), 255))


def test_a_head_without_maps_or_keys(small_head: Head) -> None:
    bare = dataclasses.replace(small_head, textures={}, names=(), shape_keys=small_head.shape_keys[:0])
    document = Parsed(to_glb(bare)).document
    assert not {"images", "textures", "samplers", "extensionsUsed"} & set(document)
    assert "extras" not in document["meshes"][0]
    assert "targets" not in document["meshes"][0]["primitives"][0]


def test_sparse_targets_save_space(small_head: Head) -> None:
    dense = dataclasses.replace(small_head, shape_keys=np.ones_like(small_head.shape_keys) * 0.01)
    assert len(to_glb(small_head)) < len(to_glb(dense)) - 5000
    assert to_glb(small_head) == to_glb(small_head)


def test_trimesh_reads_it(small_head: Head, tmp_path: Path) -> None:
    write_glb(small_head, tmp_path / "anna.glb")
    scene = trimesh.load(tmp_path / "anna.glb")
    assert len(scene.geometry) == 3
    assert sum(len(g.faces) for g in scene.geometry.values()) == (
        2 * len(small_head.faces) - (small_head.faces[:, 2] == small_head.faces[:, 3]).sum()
    )
    assert np.allclose(scene.extents, np.ptp(to_y_up(small_head.vertices), axis=0), atol=1e-6)
    skin = next(iter(scene.geometry.values()))
    assert skin.is_watertight or len(skin.vertices) == 115  # split at the seam
    assert skin.visual.material.baseColorTexture.size == (16, 16)


def test_axes_are_a_rotation() -> None:
    assert to_y_up(np.array([0.0, -1.0, 0.0])).tolist() == [0.0, 0.0, 1.0]  # the face looks to +Z
    assert to_y_up(np.array([0.0, 0.0, 1.0])).tolist() == [0.0, 1.0, 0.0]
    assert np.isclose(np.linalg.det(to_y_up(np.eye(3))), 1.0)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_smooth_normals_of_a_ball_point_outward(small_head: Head, scale: float) -> None:
    skin = small_head.part == 0
    triangles = np.concatenate([small_head.faces[skin][:, [0, 1, 2]], small_head.faces[skin][:, [0, 2, 3]]])
    used = np.unique(triangles)
    normals = smooth_normals(small_head.vertices * scale, triangles)
    outward = (small_head.vertices - [0, 0, 0.12])[used]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    assert (np.sum(normals[used] * outward, axis=1) > 0.98).all()
    assert normals[-1].tolist() == [0, 0, 1]  # no triangle uses it here


@pytest.mark.parametrize("style", ["long", "afro"])
def test_scalp_hair_is_a_mesh_of_its_own(template_head: Head, style: str, tmp_path: Path) -> None:
    look = AppearanceParameters(style_logits=style_logits(style), hair_melanin=0.2)
    head = haired(template_head, look, load_template(), 0)
    assert head.strands is not None
    parsed = Parsed(to_glb(head, "anna"))
    assert [mesh["name"] for mesh in parsed.document["meshes"]] == ["anna", "anna_hair"]
    (primitive,) = parsed.document["meshes"][1]["primitives"]
    points = parsed.accessor(primitive["attributes"]["POSITION"])
    triangles = parsed.accessor(primitive["indices"]).reshape(-1, 3)
    assert 0.8 * MOST_TRIANGLES < len(triangles) <= MOST_TRIANGLES and triangles.max() < len(points)
    scalp = to_y_up(head.strands.points[head.strands.kind == SCALP].reshape(-1, 3))
    assert np.abs(points.min(0) - scalp.min(0)).max() < 0.01 > np.abs(points.max(0) - scalp.max(0)).max()
    colour = parsed.accessor(primitive["attributes"]["COLOR_0"]).mean(0)
    assert colour[0] > colour[1] > colour[2] > 0.01  # blond, and linear
    assert np.allclose(
        np.linalg.norm(parsed.accessor(primitive["attributes"]["NORMAL"]), axis=1), 1, atol=1e-4
    )
    scene = trimesh.load(write_glb(head, tmp_path / "anna.glb"))
    assert any(len(mesh.faces) == len(triangles) for mesh in scene.geometry.values())


def test_a_head_without_hair_has_one_mesh(small_head: Head) -> None:
    assert len(Parsed(to_glb(small_head)).document["meshes"]) == 1
