"""Runs in a process of its own: a head with strands in a real Blender; prints facts.

    python drive_hair.py FOLDER BUNDLE BALD

FOLDER is for files; BUNDLE is a head with strands, BALD one without. Facts go out as the last line, JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
import numpy as np
from made_up import activate, attempt, load_addon
from mathutils.bvhtree import BVHTree

FOLDER, BUNDLE, BALD = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
facts: dict = {}
operators = bpy.ops.id3d
KINDS = ("objects", "meshes", "hair_curves", "materials", "node_groups", "collections", "scenes", "images")
WRITERS = {
    "glb": lambda path: bpy.ops.export_scene.gltf(filepath=path),
    "fbx": lambda path: bpy.ops.export_scene.fbx(filepath=path, use_mesh_modifiers=False),
    "usd": lambda path: bpy.ops.wm.usd_export(filepath=path),
}
READERS = {
    "glb": bpy.ops.import_scene.gltf,
    "fbx": bpy.ops.import_scene.fbx,
    "usd": bpy.ops.wm.usd_import,
}


def counts() -> dict[str, int]:
    return {kind: len(getattr(bpy.data, kind)) for kind in KINDS}


def column(curves: bpy.types.Curves, name: str, field: str, width: int) -> np.ndarray:
    layer = curves.attributes[name].data
    values = np.empty(len(layer) * width, np.float32)
    layer.foreach_get(field, values)
    return values.reshape(len(layer), width)


def roots(thing: bpy.types.Object, evaluated: bool) -> np.ndarray:
    """(S, 3) where its strands begin."""
    graph = bpy.context.evaluated_depsgraph_get()
    curves = (thing.evaluated_get(graph) if evaluated else thing).data
    return column(curves, "position", "vector", 3).reshape(len(curves.curves), -1, 3)[:, 0]


def off_surface() -> float:
    """The farthest that a root is from the head as it looks now, metres."""
    bpy.context.view_layer.update()
    surface = BVHTree.FromObject(head, bpy.context.evaluated_depsgraph_get())
    return max(surface.find_nearest(root)[3] for part in parts for root in roots(part, True).tolist())


addon = load_addon()
from id3d.id3d_engine.blender_scene.hair import bounds, hair_of  # noqa: E402

scene = bpy.context.scene
bpy.ops.ed.undo_push(message="before")
empty = counts()
operators.import_head(directory=BUNDLE)
full = counts()
bpy.ops.ed.undo_push(message="after")
bpy.ops.ed.undo()
facts["undo"] = [counts() == empty, empty != full]
bpy.ops.ed.redo()
facts["redo"] = counts() == full

head = bpy.data.objects["anna"]
parts = sorted(hair_of(head), key=lambda part: part.name)
facts["active"] = [thing.name for thing in bpy.context.selected_objects]
facts["parts"] = {
    part.name: {
        "type": part.type,
        "strands": len(part.data.curves),
        "surface": [part.parent.name, part.data.surface.name, part.data.surface_uv_map],
        "radius": np.unique(column(part.data, "radius", "value", 1).round(6)).tolist(),
        "colour": column(part.data, "colour", "color", 4)[0].round(4).tolist(),
        "absorption": column(part.data, "absorption", "vector", 3)[0].round(4).tolist(),
        "targets": sorted(
            node.target
            for node in part.data.materials[0].node_tree.nodes
            if node.type == "OUTPUT_MATERIAL" and node.inputs["Surface"].is_linked
        ),
        "collection": part.users_collection[0].name,
    }
    for part in parts
}
facts["skin"] = [material.name for material in head.data.materials]

# The hair goes with the shape keys, and nowhere else.
facts["still"] = float(max(np.abs(roots(part, True) - roots(part, False)).max() for part in parts))
facts["off_neutral"] = off_surface()
head.data.shape_keys.key_blocks["mouth_stretch"].value = 1.0
facts["off_moved"] = off_surface()
facts["moved"] = float(np.abs(roots(parts[-1], True) - roots(parts[-1], False)).max())
head.data.shape_keys.key_blocks["mouth_stretch"].value = 0.0

# Around the head goes around the hair.
low, high = bounds(head)
facts["bounds"] = [head.bound_box[6][2], high.z]
activate(head)
before = counts()
facts["light"] = attempt(operators.light, setup="FRONT")
facts["no_light"] = [attempt(operators.remove_light), counts() == before]
facts["asset"] = [attempt(operators.mark_asset), counts() == before, list(head.preview.image_size)]

# Out of the scene, by our own operator and by Blender's.
chosen = sorted(thing.name for thing in bpy.context.selected_objects)
for kind in READERS:
    attempt(operators.export_head, filepath=str(FOLDER / f"own.{kind}"), format=kind)
facts["selection"] = chosen == sorted(thing.name for thing in bpy.context.selected_objects)
bpy.data.objects["anna_beard"].hide_viewport = True
attempt(operators.export_head, filepath=str(FOLDER / "shaved.usd"), format="usd")
bpy.data.objects["anna_beard"].hide_viewport = False
for kind, write in WRITERS.items():
    write(str(FOLDER / f"all.{kind}"))

# Appended, as the Asset Browser does it.
bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "asset.blend"), copy=True)

# Deleted with the head, and back with one undo.
bpy.ops.ed.undo_push(message="before deleting")
before = counts()
operators.import_head(directory=BALD)
bald = bpy.context.view_layer.objects.active
facts["bald"] = [bald.name, len(hair_of(bald)), bald.add_rest_position_attribute]
activate(bpy.data.objects["anna"])
facts["delete"] = attempt(operators.delete_head)
facts["left"] = sorted(thing.name for thing in bpy.data.objects)
facts["left_data"] = [len(bpy.data.hair_curves), sorted(each.name for each in bpy.data.collections)]
bpy.ops.ed.undo()
facts["deleted_and_undone"] = counts() == before

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.append(directory=str(FOLDER / "asset.blend" / "Object"), filename="anna")
facts["appended"] = sorted(
    [thing.name, thing.parent.name if thing.parent else "", bool(thing.users_collection)]
    for thing in bpy.data.objects
)

facts["read"] = {}
for name in (*(f"{who}.{kind}" for who in ("own", "all") for kind in READERS), "shaved.usd"):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    READERS[name.rpartition(".")[2]](filepath=str(FOLDER / name))
    keyed = [thing for thing in bpy.data.objects if thing.type == "MESH" and thing.data.shape_keys]
    facts["read"][name] = {
        "keys": [[key.name for key in thing.data.shape_keys.key_blocks[1:]] for thing in keyed],
        "hair": sum(len(thing.data.curves) for thing in bpy.data.objects if thing.type == "CURVES"),
    }
print(json.dumps(facts))
