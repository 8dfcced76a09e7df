"""A bundle as one object, with its hair as children, in a collection of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy

from .bundle import Bundle
from .hair import build_hair
from .images import copy_maps
from .material import build_materials
from .mesh import build_mesh_object

_INT32 = 2**31


def build_head(bundle: Bundle, scene: bpy.types.Scene, maps_folder: Path | None = None) -> bpy.types.Object:
    """Add the head to `scene`; nothing else in the scene changes, selection included.

    The object stands at the origin, in metres, face to -Y; strands of hair are its children
    (`hair.hair_of`). Its custom properties say where it comes from (`id3d_engine`, `id3d_seed`,
    `id3d_identity_sha256`, ...). Names may end in `.001` where they are taken: use the returned object.

    Args:
        bundle: What `read_bundle` gave.
        scene: It gets the collection with the head.
        maps_folder: Copy the maps there and refer to the copies; None packs them into the .blend.

    Raises:
        InputError: the maps cannot be copied; the scene is as it was.
    """
    textures = bundle.textures
    if maps_folder is not None:
        textures = copy_maps(bundle.name, textures, maps_folder)
    head = build_mesh_object(bundle)
    for material in build_materials(bundle.name, textures, pack=maps_folder is None):
        head.data.materials.append(material)
    for key, value in provenance(bundle.info).items():
        head[key] = value
    collection = bpy.data.collections.new(f"ID3D Head {bundle.name}")
    scene.collection.children.link(collection)
    collection.objects.link(head)
    if bundle.hair is not None:
        build_hair(head, bundle.hair)
    return head


def provenance(info: dict[str, Any]) -> dict[str, str | int | float | bool]:
    """`head.json`'s provenance as flat custom properties, which glTF, FBX and USD carry on."""
    engine = info.get("engine", {})
    version = engine.get("version", "") if isinstance(engine, dict) else engine
    facts: dict[str, Any] = {"schema": info.get("schema"), "engine": version} | info.get("provenance", {})
    return {f"id3d_{key}": _plain(value) for key, value in facts.items() if value is not None}


def _plain(value: Any) -> str | int | float | bool:
    # Custom properties hold 32-bit integers; larger seeds stay exact as text.
    if isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        return value if abs(value) < _INT32 else str(value)
    return json.dumps(value, ensure_ascii=False)
