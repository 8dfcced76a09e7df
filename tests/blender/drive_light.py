"""Runs in a process of its own: lights a head, turns around it, marks it as an asset; prints facts.

    python drive_light.py FOLDER

FOLDER is for pictures. Facts go out as the last line, JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy
from made_up import activate, add_head, attempt, load_addon
from mathutils import Vector

FOLDER = Path(sys.argv[1])
facts: dict = {}
operators = bpy.ops.id3d
KINDS = (
    "objects",
    "lights",
    "cameras",
    "collections",
    "worlds",
    "scenes",
    "actions",
    "materials",
    "meshes",
    "images",
)


def contents() -> dict[str, list[str]]:
    return {kind: sorted(item.name for item in getattr(bpy.data, kind)) for kind in KINDS}


def situation() -> list:
    """What a set-up and its removal must leave alone."""
    return [
        contents(),
        scene.world.name,
        [[lamp.name, lamp.hide_viewport, lamp.hide_render, list(lamp.keys())] for lamp in (key_light, off)],
        scene.camera.name,
        scene.render.engine,
        scene.view_settings.view_transform,
        [scene.frame_start, scene.frame_end, scene.frame_step, scene.frame_current, scene.render.filepath],
        sorted(thing.name for thing in bpy.context.selected_objects),
        bpy.context.view_layer.objects.active.name,
    ]


def lamp(name: str) -> bpy.types.Object:
    made = bpy.data.objects.new(name, bpy.data.lights.new(name, "POINT"))
    scene.collection.objects.link(made)
    return made


def lit() -> dict:
    """The set-up's lights: towards which side of the face they stand, and whether they look at it."""
    (collection,) = [each for each in bpy.data.collections if "id3d_light" in each]
    bpy.context.view_layer.update()
    centre = head.matrix_world @ (sum((Vector(c) for c in head.bound_box), Vector()) / 8)
    front = (head.matrix_world.to_quaternion() @ Vector((0, -1, 0))).normalized()
    found = {}
    for light in collection.objects:
        way = light.location - centre
        aim = light.matrix_world.to_quaternion() @ Vector((0, 0, -1))
        found[light.name] = {
            "front": round(way.normalized().dot(front), 2),
            "up": round(way.normalized().z, 2),
            "aims": round(-aim.dot(way.normalized()), 3),
            "distance": way.length,
            "size": light.data.size,
            "brightness": light.data.energy / way.length**2,
        }
    return found


addon = load_addon()
scene = bpy.context.scene
facts["no_head"] = [attempt(operators.light), attempt(operators.mark_asset), attempt(operators.add_turntable)]
facts["no_setup"] = [attempt(operators.remove_light), attempt(operators.render_turntable)]
head = add_head(("smile", "jawOpen"))
key_light, off = lamp("key"), lamp("off")
off.hide_render = True
scene.world = bpy.data.worlds.new("sky")
scene.camera = bpy.data.objects.new("view", bpy.data.cameras.new("view"))
scene.collection.objects.link(scene.camera)
before = situation()

facts["setups"] = {}
for setup in ("FRONT", "BACK", "DIRECT", "DIFFUSED"):
    answer = attempt(operators.light, setup=setup)
    hidden = [[light.hide_viewport, light.hide_render] for light in (key_light, off)]
    facts["setups"][setup] = [answer, lit(), hidden, scene.world.name]
facts["collections"] = sorted(each.name for each in bpy.data.collections)

# Saved and opened again with a set-up in it, then removed.
bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "lit.blend"))
bpy.ops.wm.open_mainfile(filepath=str(FOLDER / "lit.blend"))
scene, head = bpy.context.scene, bpy.data.objects["anna"]
key_light, off = bpy.data.objects["key"], bpy.data.objects["off"]
facts["removed"] = attempt(operators.remove_light)
facts["as_before"] = situation() == before or [before, situation()]

# What the user does meanwhile stays: another world, an object and a light in our collection.
operators.light(setup="BACK", world=False)
facts["world_kept"] = scene.world.name
operators.light(setup="BACK")
scene.world = bpy.data.worlds.new("chosen")
prop = bpy.data.objects.new("prop", None)
bpy.data.collections["ID3D Light"].objects.link(prop)
operators.remove_light()
facts["users"] = [scene.world.name, prop.name in scene.collection.objects]
bpy.data.objects.remove(prop)
bpy.data.worlds.remove(bpy.data.worlds["chosen"])
scene.world = bpy.data.worlds["sky"]

# Around a larger head that stands elsewhere and looks elsewhere.
operators.light(setup="FRONT")
small = lit()["ID3D Light Front"]
head.location, head.rotation_euler.z, head.scale = (3, 4, 5), 2.0, (4, 4, 4)
operators.light(setup="FRONT", strength=0.5)
facts["moved"] = [small, lit()["ID3D Light Front"]]
operators.remove_light()

# One turn.
scene.frame_start = 11
facts["turntable"] = attempt(operators.add_turntable, frames=8)
(camera,) = [thing for thing in bpy.data.objects if thing.type == "CAMERA" and thing.name != "view"]
path = []
for frame in range(11, 20):
    scene.frame_set(frame)
    centre = head.matrix_world @ (sum((Vector(c) for c in head.bound_box), Vector()) / 8)
    way = camera.matrix_world.translation - centre
    aim = camera.matrix_world.to_quaternion() @ Vector((0, 0, -1))
    front = head.matrix_world.to_quaternion() @ Vector((0, -1, 0))
    path.append(
        [round(way.length, 4), round(-aim.dot(way.normalized()), 4), round(way.normalized().dot(front), 2)]
    )
facts["path"] = path
facts["camera_in_use"] = scene.camera.name
again = attempt(operators.add_turntable, frames=2)
facts["one_turntable"] = [again, sorted(thing.name for thing in bpy.data.objects if thing.type == "CAMERA")]
scene.render.engine = "CYCLES"
scene.cycles.samples, scene.cycles.use_denoising = 1, False
scene.render.resolution_x, scene.render.resolution_y = 24, 16
scene.frame_set(13)
rendering = situation()
facts["no_folder"] = attempt(operators.render_turntable, directory=str(FOLDER / "missing"))
(FOLDER / "turn").mkdir()
facts["rendered"] = attempt(operators.render_turntable, directory=str(FOLDER / "turn"))
facts["pictures"] = sorted(path.name for path in (FOLDER / "turn").iterdir())
after = situation()
after[0]["images"] = rendering[0]["images"]
facts["render_left"] = after == rendering or [rendering, after]
operators.remove_turntable()
facts["turntable_gone"] = [
    sorted(thing.name for thing in bpy.data.objects),
    len(bpy.data.actions),
    sorted(each.name for each in bpy.data.cameras),
]

# Assets.
scene.frame_start, scene.render.engine = 1, "BLENDER_WORKBENCH"
head.hide_render = True
head["id3d_seed"] = 7
for image in list(bpy.data.images):
    bpy.data.images.remove(image)
marking = situation()
facts["mark"] = attempt(operators.mark_asset, author="Anna", license="CC0")
data = head.asset_data
facts["asset"] = [data.author, data.license, data.description, sorted(tag.name for tag in data.tags)]
pixels = list(head.preview.image_pixels_float)
alpha, light = pixels[3::4], pixels[0::4]
facts["thumbnail"] = [list(head.preview.image_size), sum(alpha) / len(alpha), max(light), alpha[0]]
facts["marking_left"] = situation() == marking or [marking, situation()]
facts["clear"] = [attempt(operators.clear_asset), head.asset_data is None, attempt(operators.clear_asset)]

# Undo of a set-up, and what needs Object Mode.
activate(head)
bpy.ops.ed.undo_push(message="before")
operators.light(setup="BACK")
bpy.ops.ed.undo_push(message="after")
bpy.ops.ed.undo()
scene = bpy.context.scene
facts["undone"] = [
    any("id3d_light" in each for each in bpy.data.collections),
    scene.world.name,
    bpy.data.objects["key"].hide_render,
]
bpy.ops.object.mode_set(mode="EDIT")
facts["edit_mode"] = [attempt(operators.light), attempt(operators.export_head, filepath="/x.glb")]
bpy.ops.object.mode_set(mode="OBJECT")
addon.unregister()
facts["unregistered"] = hasattr(bpy.types, "ID3D_PT_light")
print(json.dumps(facts))
