"""Heads that other programs made, as a `Head`: GLB with morph targets, or OBJ with one file a shape.

Only what is needed to measure and to picture them is read: surface, UVs, morph targets and their names, the
first base colour. Skins, animations and materials are left aside.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .export.axes import flip_v, to_z_up
from .head import Head

SUFFIXES = (".glb", ".obj")
HEIGHT_M = 0.28  # of a head with its neck, to tell metres from centimetres and millimetres
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def read_foreign(path: Path) -> Head:
    """A GLB or OBJ file as a head: metres, Z up, face to -Y, triangles.

    Args:
        path: `NAME.glb`, or `NAME.obj` with `NAME_SHAPE.obj` beside it for each shape.

    Raises:
        InputError: there is no such file, it is damaged, or it holds no triangles.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}: check the path")
    try:
        head = _glb(path) if path.suffix.lower() == ".glb" else _obj(path)
    except (AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        kind = path.suffix[1:].upper()
        raise InputError(f"{path} is damaged or no {kind} file: export it again") from error
    return head


class _Glb:
    """The two chunks of a GLB file (glTF 2.0, section 4.4), and its accessors as arrays."""

    def __init__(self, data: bytes) -> None:
        magic, version, _ = struct.unpack_from("<III", data)
        if magic != _MAGIC or version != 2:
            raise ValueError("no GLB file of version 2")
        size, kind = struct.unpack_from("<II", data, 12)
        if kind != _JSON:
            raise ValueError("no JSON chunk")
        self.document: dict[str, Any] = json.loads(data[20 : 20 + size])
        self._binary = b""
        binary = 20 + size
        if binary < len(data):
            length, kind = struct.unpack_from("<II", data, binary)
            if kind == _BIN:
                self._binary = data[binary + 8 : binary + 8 + length]

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view."""
        view = self.document["bufferViews"][index]
        start = view.get("byteOffset", 0)
        return self._binary[start : start + view["byteLength"]]

    def array(self, index: int) -> NDArray[Any]:
        """(N, width) of an accessor, sparse ones and strides included."""
        accessor = self.document["accessors"][index]
        kind, width, count = _TYPES[accessor["componentType"]], _WIDTHS[accessor["type"]], accessor["count"]
        if "bufferView" in accessor:
            found = self._strided(accessor, kind, width, count).copy()
        else:
            found = np.zeros((count, width), kind)
        if sparse := accessor.get("sparse"):
            where, values = sparse["indices"], sparse["values"]
            at = self._strided(where, _TYPES[where["componentType"]], 1, sparse["count"])[:, 0]
            found[at] = self._strided(values, kind, width, sparse["count"])
        if accessor.get("normalized"):
            return found / np.iinfo(found.dtype).max
        return found

    def _strided(self, where: dict[str, Any], kind: str, width: int, count: int) -> NDArray[Any]:
        item = np.dtype(kind).itemsize
        step = self.document["bufferViews"][where["bufferView"]].get("byteStride", item * width)
        data, start = self.view(where["bufferView"]), where.get("byteOffset", 0)
        return np.ndarray((count, width), kind, data, start, (step, item))

    def placed(self) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Every mesh with its (4, 4) place in the world."""
        nodes = self.document.get("nodes", [])
        children = {child for node in nodes for child in node.get("children", [])}
        stack = [(k, np.eye(4)) for k in range(len(nodes)) if k not in children]
        while stack:
            index, parent = stack.pop()
            world = parent @ _local(nodes[index])
            if "mesh" in nodes[index]:
                yield self.document["meshes"][nodes[index]["mesh"]], world
            stack += [(child, world) for child in nodes[index].get("children", [])]


def _local(node: dict[str, Any]) -> NDArray[np.float64]:
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    found = np.eye(4)
    found[:3, :3] = turn * np.array(node.get("scale", (1.0, 1.0, 1.0)))
    found[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return found


def _glb(path: Path) -> Head:
    glb = _Glb(path.read_bytes())
    positions, corners, triangles, count = [], [], [], 0
    keys: dict[str, list[tuple[int, NDArray[np.float64]]]] = {}
    for mesh, world in glb.placed():
        names = mesh.get("extras", {}).get("targetNames", [])
        for primitive in mesh["primitives"]:
            if primitive.get("mode", 4) != 4:
                continue
            points = glb.array(primitive["attributes"]["POSITION"]).astype(float)
            uv = primitive["attributes"].get("TEXCOORD_0")
            flat = np.zeros((len(points), 2)) if uv is None else glb.array(uv).astype(float)
            order = primitive.get("indices")
            index = np.arange(len(points)) if order is None else glb.array(order)[:, 0].astype(np.int64)
            for k, target in enumerate(primitive.get("targets", [])):
                name = names[k] if k < len(names) else f"target_{k}"
                offsets = glb.array(target["POSITION"]).astype(float) @ world[:3, :3].T
                keys.setdefault(name, []).append((count, offsets))
            positions.append(points @ world[:3, :3].T + world[:3, 3])
            triangles.append(index.reshape(-1, 3) + count)
            corners.append(flip_v(flat)[index].reshape(-1, 3, 2))
            count += len(points)
    if not positions:
        raise InputError(f"{path} holds no triangles: export the head as a mesh")
    offsets = np.zeros((len(keys), count, 3))
    for row, parts in zip(offsets, keys.values(), strict=True):
        for start, part in parts:
            row[start : start + len(part)] = part
    return _head(
        np.concatenate(positions),
        np.concatenate(triangles),
        np.concatenate(corners),
        tuple(keys),
        offsets,
        _colour(glb),
    )


def _colour(glb: _Glb) -> NDArray[np.uint8] | None:
    """The first base colour that is a picture."""
    from PIL import Image

    for material in glb.document.get("materials", []):
        texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture")
        if texture is not None:
            image = glb.document["images"][glb.document["textures"][texture["index"]]["source"]]
            if "bufferView" in image:
                picture = Image.open(io.BytesIO(glb.view(image["bufferView"]))).convert("RGB")
                side = min(picture.size)
                return np.asarray(picture.resize((side, side)))
    return None


def _obj(path: Path) -> Head:
    points, uv, faces = _obj_lines(path)
    triangles, corners = [], []
    for face in faces:
        for k in range(1, len(face) - 1):
            three = (face[0], face[k], face[k + 1])
            triangles.append([corner[0] for corner in three])
            corners.append([uv[corner[1]] if corner[1] is not None else (0.0, 0.0) for corner in three])
    if not triangles:
        raise InputError(f"{path} holds no triangles: export the head as a mesh")
    shapes = {}
    for other in sorted(path.parent.glob(f"{path.stem}_*.obj")):
        moved, _, _ = _obj_lines(other)
        if len(moved) != len(points):
            raise InputError(
                f"{other} has {len(moved)} vertices and {path.name} {len(points)}: export both alike"
            )
        shapes[other.stem.removeprefix(f"{path.stem}_")] = np.subtract(moved, points)
    offsets = np.array(list(shapes.values())).reshape(len(shapes), len(points), 3)
    return _head(
        np.array(points), np.array(triangles), np.array(corners, float), tuple(shapes), offsets, None
    )


_Corner = tuple[int, int | None]


def _obj_lines(path: Path) -> tuple[list[list[float]], list[list[float]], list[list[_Corner]]]:
    points: list[list[float]] = []
    uv: list[list[float]] = []
    faces: list[list[_Corner]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            points.append([float(value) for value in rest[:3]])
        elif kind == "vt":
            uv.append([float(value) for value in rest[:2]])
        elif kind == "f":
            faces.append([_corner(word, len(points), len(uv)) for word in rest])
    return points, uv, faces


def _corner(word: str, points: int, uvs: int) -> _Corner:
    """Numbers count from 1, or from the end where they are negative."""
    point, _, rest = word.partition("/")
    uv = rest.partition("/")[0]
    index = int(point) - 1 if int(point) > 0 else points + int(point)
    return index, (int(uv) - 1 if int(uv) > 0 else uvs + int(uv)) if uv else None


def _head(
    points: NDArray[np.floating],
    triangles: NDArray[np.integer],
    corners: NDArray[np.floating],
    names: tuple[str, ...],
    offsets: NDArray[np.floating],
    albedo: NDArray[np.uint8] | None,
) -> Head:
    """Y up to Z up, units to metres, and vertices that seams had doubled made one again.

    Raises:
        ValueError: the points are not in space.
    """
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all() or not np.ptp(points[:, 1]):
        raise ValueError("points are finite, (N, 3), and of more than one height")
    scale = min((1.0, 0.01, 0.001), key=lambda unit: abs(np.log(unit * np.ptp(points[:, 1]) / HEIGHT_M)))
    everything = np.concatenate([points[None], offsets]).transpose(1, 0, 2).reshape(len(points), -1)
    _, first, merged = np.unique(
        np.round(everything * scale * 1e7).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    merged = merged.reshape(-1)
    triangles = merged[triangles]
    whole = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    triangles, corners = triangles[whole], corners[whole]

    return Head(
        vertices=to_z_up(points[first] * scale),
        faces=triangles[:, [0, 1, 2, 2]].astype(np.int32),
        uv=corners[:, [0, 1, 2, 2]].astype(np.float32),
        part=np.zeros(len(triangles), np.uint8),
        shape_keys=to_z_up(offsets[:, first] * scale),
        names=names,
        textures={} if albedo is None else {"albedo": albedo},
        info={},
    )
