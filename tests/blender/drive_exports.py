"""Runs in a process of its own: a head with an Action through glTF, FBX and USD, prints what came back.

    python drive_exports.py FOLDER EXPRESSIONS UNITS

As `drive_animation.py`; facts go out as the last line, JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
import numpy as np
from made_up import add_head, load_addon

FOLDER = Path(sys.argv[1])
NAMES = tuple(",".join(sys.argv[2:]).split(","))
FRAMES = range(11, 205, 7)
SHOWN = ("smile", "grin", "eyeBlinkLeft")
facts: dict = {}


def points(head: bpy.types.Object, key: bpy.types.ShapeKey) -> np.ndarray:
    """(V, 3) in world space, metres."""
    local = np.empty(3 * len(head.data.vertices), np.float32)
    key.points.foreach_get("co", local)
    matrix = np.array(head.matrix_world)
    return local.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def shape(head: bpy.types.Object) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Neutral points, and every key's offsets from them."""
    keys = head.data.shape_keys
    base = points(head, keys.reference_key)
    offsets = {key.name: points(head, key) - base for key in keys.key_blocks if key != keys.reference_key}
    return base, offsets


def compare(imported: bpy.types.Object) -> dict:
    """Names, and the largest distance in metres from what went out; importers may split vertices."""
    base, offsets = shape(imported)
    gaps = np.linalg.norm(base[:, None] - neutral[None], axis=-1)
    partner = gaps.argmin(1)
    return {
        "names": list(offsets),
        "values": sorted({key.value for key in imported.data.shape_keys.key_blocks[1:]}),
        "neutral_m": float(gaps.min(1).max()),
        "whole": sorted({*partner.tolist()}) == list(range(len(neutral))),
        "delta_m": max(
            float(np.abs(offsets[name] - out[partner]).max())
            for name, out in deltas.items()
            if name in offsets
        ),
    }


def sampled(keys: bpy.types.Key) -> list[list[float]]:
    """Values of SHOWN at FRAMES."""
    scene = bpy.context.scene
    found = []
    for frame in FRAMES:
        scene.frame_set(frame)
        found.append([keys.key_blocks[name].value for name in SHOWN])
    return found


addon = load_addon()
head = add_head(NAMES)
neutral, deltas = shape(head)
bpy.ops.id3d.example_animation(start_frame=11)
bpy.context.scene.frame_end = 204
facts["out"] = sampled(head.data.shape_keys)
bpy.context.scene.frame_set(60)  # in the middle of a smile, as users do
bpy.ops.export_scene.gltf(filepath=str(FOLDER / "anna.glb"))
fbx = {
    ".fbx": {},
    # Its "NLA Strips" and "All Actions" look at objects only; without both the scene is baked as it plays.
    ".baked.fbx": {"bake_anim_use_nla_strips": False, "bake_anim_use_all_actions": False},
}
for kind, options in fbx.items():
    bpy.ops.export_scene.fbx(filepath=str(FOLDER / f"anna{kind}"), check_existing=False, **options)
bpy.ops.wm.usd_export(filepath=str(FOLDER / "anna.usda"), export_animation=True)

readers = {
    "glb": (bpy.ops.import_scene.gltf, {}),
    "fbx": (bpy.ops.import_scene.fbx, {}),
    "baked.fbx": (bpy.ops.import_scene.fbx, {"anim_offset": 0.0}),  # 1 frame otherwise
    "usda": (bpy.ops.wm.usd_import, {}),
}
for kind, (read, options) in readers.items():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    read(filepath=str(FOLDER / f"anna.{kind}"), **options)
    (back,) = (thing for thing in bpy.data.objects if thing.type == "MESH" and thing.data.shape_keys)
    bpy.context.view_layer.update()
    facts[kind] = compare(back)
    animation = back.data.shape_keys.animation_data
    facts[kind]["animated"] = animation is not None and animation.action is not None
    if facts[kind]["animated"]:
        facts[kind]["played"] = sampled(back.data.shape_keys)
text = (FOLDER / "anna.usda").read_text(encoding="utf-8")
facts["usd_names"] = [name for name in NAMES if f'def BlendShape "{name}"' in text]
print(json.dumps(facts))
