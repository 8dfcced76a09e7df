"""Picture a head under each of the four lights.

blender --background --python 04_relight.py -- anna.head pictures
"""

import importlib
import sys
from pathlib import Path

import bpy
from mathutils import Vector

name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
id3d = importlib.import_module(name)

bundle, folder = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = id3d.api.load(bundle)
scene = bpy.context.scene

middle = sum((Vector(corner) for corner in head.bound_box), Vector()) / 8
scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
scene.camera.data.lens = 120
scene.camera.location = middle + Vector((0, -1, 0))
scene.camera.rotation_euler = Vector((0, -1, 0)).to_track_quat("Z", "Y").to_euler()
scene.collection.objects.link(scene.camera)

scene.render.engine = "CYCLES"
scene.cycles.samples = 16
scene.render.resolution_x = scene.render.resolution_y = 192
for light in ("FRONT", "BACK", "DIRECT", "DIFFUSED"):
    bpy.ops.id3d.light(setup=light)  # takes the place of the one before
    scene.render.filepath = str(Path(folder).resolve() / f"{light.lower()}.png")
    bpy.ops.render.render(write_still=True)
bpy.ops.id3d.remove_light()  # the scene is as it was
