"""Read a head bundle with numpy alone: Blender's Python has no safetensors package."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..strands import FILE as STRANDS_FILE
from ..strands import Strands

SCHEMA = 1
SKIN, EYE, MOUTH = 0, 1, 2

_DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1", "I8": "i1"}
_LARGEST_HEADER = 16 << 20


@dataclass(frozen=True, eq=False)
class Bundle:
    """V vertices, F faces, K shape keys; Blender axes, metres.

    Attributes:
        name: The folder's name without `.head`.
        vertices: (V, 3) float32.
        faces: (F, 4) int32; a triangle repeats its last index.
        uv: (F, 4, 2) float32, v up.
        part: (F,) uint8: SKIN, EYE or MOUTH.
        shape_keys: (K, V, 3) float32 offsets from `vertices`, in the order of `names`.
        textures: kind (albedo, roughness, specular, normal, ...) -> PNG file.
        info: `head.json`.
        hair: Its strands; None if the hair is part of the surface only.
    """

    name: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32]
    part: NDArray[np.uint8]
    shape_keys: NDArray[np.float32]
    names: tuple[str, ...]
    textures: dict[str, Path] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    hair: Strands | None = None


def read_bundle(folder: Path | str) -> Bundle:
    """Read `NAME.head` (the folder, or the `head.json` in it).

    Raises:
        InputError: it is no bundle, of a newer schema, incomplete or damaged.
    """
    folder = Path(folder)
    folder = folder.parent if folder.name == "head.json" else folder
    info = _read_info(folder)
    arrays, metadata = read_safetensors(folder / "geometry.safetensors")
    try:
        names = tuple(json.loads(metadata["shape_keys"]))
        vertices, faces, uv, part = (arrays[key] for key in ("vertices", "faces", "uv", "part"))
        shape_keys = arrays.get("shape_keys", np.zeros((0, *vertices.shape), np.float32))
        bundle = Bundle(
            name=folder.name.removesuffix(".head") or "head",
            vertices=vertices.astype(np.float32, copy=False),
            faces=faces.astype(np.int32, copy=False),
            uv=uv.astype(np.float32, copy=False),
            part=part.astype(np.uint8, copy=False),
            shape_keys=shape_keys.astype(np.float32, copy=False),
            names=names,
            textures={path.stem: path for path in sorted((folder / "textures").glob("*.png"))},
            info=info,
            hair=_read_hair(folder / STRANDS_FILE),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{folder} is incomplete ({error}): make the head again") from error
    _check(bundle, folder)
    _check_files(folder, info["files"])
    return bundle


def read_safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Arrays and metadata of a safetensors file: header length (uint64), JSON header, raw bytes.

    Raises:
        InputError: the file is missing, cut short, or not of this format.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{path} cannot be read ({reason}): copy the whole .head folder") from error
    try:
        (length,) = struct.unpack_from("<Q", payload)
        if length > min(_LARGEST_HEADER, len(payload) - 8):
            raise ValueError("header too long")
        header = json.loads(payload[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        arrays = {name: _array(entry, memoryview(payload)[8 + length :]) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: copy the head again, or make it again") from error
    return arrays, metadata


def _read_hair(path: Path) -> Strands | None:
    if not path.is_file():
        return None
    arrays, metadata = read_safetensors(path)
    try:
        found: dict[str, Any] = arrays | json.loads(metadata["hair"])
        hair = Strands(**{each.name: found[each.name] for each in fields(Strands)})
        problems = hair.problems()
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is incomplete ({error}): make the head again") from error
    if problems:
        raise InputError(f"{path} is damaged: {problems[0]} Copy the head again, or make it again")
    return hair


def _array(entry: dict[str, Any], data: memoryview) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError("data outside the file")
    return np.frombuffer(data[begin:end], _DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _read_info(folder: Path) -> dict[str, Any]:
    path = folder / "head.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a head: choose a NAME.head folder with a head.json in it")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: copy the head again, or make it again") from error
    if not isinstance(info, dict) or info.get("schema") != SCHEMA:
        found = info.get("schema") if isinstance(info, dict) else None
        raise InputError(f"{path} has schema {found!r}, this version reads {SCHEMA}: update ID3D")
    tables = (info.get("provenance", {}), info.get("files"))
    if not all(isinstance(table, dict) for table in tables):
        raise InputError(f"{path} is damaged: copy the head again, or make it again")
    return info


def _check_files(folder: Path, files: dict[str, Any]) -> None:
    """By their sizes, which takes no time: Blender itself says nothing of a map that it cannot read."""
    for name, entry in files.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path} is missing: copy the whole .head folder")
        if not isinstance(entry, dict) or path.stat().st_size != entry.get("bytes"):
            raise InputError(f"{path} is damaged: copy the head again, or make it again")


def _check(bundle: Bundle, folder: Path) -> None:
    vertices, faces, keys = len(bundle.vertices), len(bundle.faces), len(bundle.names)
    wanted = {
        "vertices": (vertices, 3),
        "faces": (faces, 4),
        "uv": (faces, 4, 2),
        "part": (faces,),
        "shape_keys": (keys, vertices, 3),
    }
    for name, shape in wanted.items():
        found = getattr(bundle, name).shape
        if found != shape:
            raise InputError(f"{folder} is damaged: {name} has shape {found} where {shape} is due")
    if not faces or bundle.faces.min() < 0 or bundle.faces.max() >= vertices:
        raise InputError(f"{folder} is damaged: its faces do not fit its vertices; make the head again")
    if len(set(bundle.names)) != keys or any(not 0 < len(name.encode()) < 64 for name in bundle.names):
        raise InputError(f"{folder} has shape keys that Blender cannot name: they need distinct, short names")
