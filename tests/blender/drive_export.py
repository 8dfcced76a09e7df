"""Runs in a process of its own: imports heads, undoes that, exports one, reads it back; prints facts.

    python drive_export.py FOLDER BUNDLE

FOLDER is for files; BUNDLE is a head with maps. Facts go out as the last line, JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
import numpy as np
from made_up import activate, attempt, load_addon

FOLDER, BUNDLE = Path(sys.argv[1]), sys.argv[2]
facts: dict = {}
operators = bpy.ops.id3d
KINDS = ("objects", "meshes", "shape_keys", "materials", "images", "collections", "actions", "worlds")
READERS = {
    "glb": bpy.ops.import_scene.gltf,
    "fbx": bpy.ops.import_scene.fbx,
    "usd": bpy.ops.wm.usd_import,
}


def counts() -> dict[str, int]:
    return {kind: len(getattr(bpy.data, kind)) for kind in KINDS}


def points(thing: bpy.types.Object) -> dict[str, np.ndarray]:
    """Shape key -> (V, 3) world positions."""
    matrix = np.array(thing.matrix_world)
    found = {}
    for key in thing.data.shape_keys.key_blocks:
        co = np.empty(len(key.points) * 3, np.float32)
        key.points.foreach_get("co", co)
        found[key.name] = co.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    return found


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest distance from a point of either to the nearest of the other: files split seams."""
    distances = np.linalg.norm(found[:, None] - wanted[None], axis=-1)
    return float(max(distances.min(0).max(), distances.min(1).max()))


addon = load_addon()
scene = bpy.context.scene
facts["no_head"] = attempt(operators.export_head, filepath="/x.glb")

# One undo takes back a head with all that came with it; redo brings it again.
bpy.ops.ed.undo_push(message="before")
empty = counts()
operators.import_head(directory=BUNDLE)
full = counts()
bpy.ops.ed.undo_push(message="after")
bpy.ops.ed.undo()
facts["undo"] = [counts() == empty, empty != full]
bpy.ops.ed.redo()
facts["redo"] = counts() == full
facts["names"] = sorted(thing.name for thing in bpy.data.objects)

# Maps beside the .blend.
before = counts()
facts["beside_unsaved"] = [
    attempt(operators.import_head, directory=BUNDLE, maps="BESIDE"),
    counts() == before,
]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "scene.blend"))
(FOLDER / "textures").write_text("not a folder")
before = counts()
facts["beside_refused"] = [
    attempt(operators.import_head, directory=BUNDLE, maps="BESIDE"),
    counts() == before,
]
(FOLDER / "textures").unlink()
(FOLDER / "textures").mkdir()
(FOLDER / "textures" / "anna_albedo.png").write_text("somebody else's")
for _ in range(2):
    operators.import_head(directory=BUNDLE, maps="BESIDE")
facts["beside"] = {
    image.name: [image.filepath, image.packed_file is None, list(image.size), image.colorspace_settings.name]
    for image in bpy.data.images
}
facts["files"] = sorted(path.name for path in (FOLDER / "textures").iterdir())

# A scene with more than the head: another head, selected things, a modifier, a key in use, animation.
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
operators.import_head(directory=BUNDLE)
operators.import_head(directory=BUNDLE)
head, other = bpy.data.objects["anna"], bpy.data.objects["anna.001"]
head.modifiers.new("Subdivision", "SUBSURF")
head.location = (0.1, 0.2, 0.3)
scene.world = bpy.data.worlds.new("sky")
scene.frame_end = 5
slider = head.data.shape_keys.key_blocks["smile"]
for frame, value in ((1, 0.0), (5, 1.0)):
    slider.value = value
    slider.keyframe_insert("value", frame=frame)
scene.frame_set(1)
bpy.context.view_layer.update()
activate(other)
bpy.context.view_layer.objects.active = head


def state() -> list:
    return [
        sorted(thing.name for thing in bpy.context.selected_objects),
        bpy.context.view_layer.objects.active.name,
        [[each.type, each.show_viewport, each.show_render] for each in head.modifiers],
        scene.frame_current,
        counts(),
    ]


before, wanted = state(), points(head)
facts["bad_folder"] = attempt(operators.export_head, filepath=str(FOLDER / "missing" / "a.glb"))
facts["unwritable"] = {
    kind: attempt(operators.export_head, filepath=str(FOLDER / f"{'a' * 300}.{kind}"), format=kind)
    for kind in READERS
}
facts["bad_name"] = attempt(operators.export_head, filepath=str(FOLDER / "a.obj"), format="fbx")
facts["export"] = {
    kind: attempt(operators.export_head, filepath=str(FOLDER / f"anna.{kind}"), format=kind)
    for kind in READERS
}
facts["export_left"] = state() == before or [before, state()]
facts["still"] = attempt(operators.export_head, filepath=str(FOLDER / "still.glb"), animation=False)
head.hide_set(True)
bpy.context.view_layer.objects.active = head
facts["hidden"] = attempt(operators.export_head, filepath=str(FOLDER / "b.glb"))

facts["read"] = {}
for kind, reader in READERS.items():
    for name in (f"anna.{kind}", "still.glb") if kind == "glb" else (f"anna.{kind}",):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        reader(filepath=str(FOLDER / name))
        bpy.context.view_layer.update()
        (read,) = [thing for thing in bpy.data.objects if thing.type == "MESH" and thing.data.shape_keys]
        animation = read.data.shape_keys.animation_data
        if animation is not None:
            animation.action = None  # else it sets the values below
        found = points(read)
        facts["read"][name] = {
            "object": read.name,
            "keys": list(found),
            "gap": max(gap(found[a], wanted[b]) for a, b in zip(found, wanted, strict=True)),
            "types": sorted({thing.type for thing in bpy.data.objects}),
            "materials": [material.name for material in read.data.materials],
            "animated": animation is not None,
            "worlds": len(bpy.data.worlds),
            "seed": read.get(
                "id3d_seed", next((t["id3d_seed"] for t in bpy.data.objects if "id3d_seed" in t), None)
            ),
        }
print(json.dumps(facts))
