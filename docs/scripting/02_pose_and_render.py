"""Load a head, mix expressions, and render one picture.

blender --background --python 02_pose_and_render.py -- anna.head smile.png smile=0.8 jawOpen=0.2
"""

import importlib
import sys
from pathlib import Path

import bpy
from mathutils import Vector

name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
id3d = importlib.import_module(name)

bundle, picture, *values = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = id3d.api.load(bundle)
for expression, value in (pair.split("=") for pair in values):
    head.data.shape_keys.key_blocks[expression].value = float(value)

# The head is about 0.25 m high, stands on the origin and looks to -Y.
scene = bpy.context.scene
middle = sum((Vector(corner) for corner in head.bound_box), Vector()) / 8


def add(data, where):
    """A camera or a light at `middle + where`, turned to the middle of the head."""
    thing = bpy.data.objects.new(data.name, data)
    thing.location = middle + Vector(where)
    thing.rotation_euler = Vector(where).to_track_quat("Z", "Y").to_euler()
    scene.collection.objects.link(thing)
    return thing


camera = bpy.data.cameras.new("Camera")
camera.lens = 135
scene.camera = add(camera, (0.25, -0.95, 0.02))
light = bpy.data.lights.new("Key", "AREA")
light.energy, light.size = 15, 0.5
add(light, (0.5, -0.8, 0.5))
scene.world = bpy.data.worlds.new("World")  # grey: some light from everywhere

scene.render.engine = "CYCLES"
scene.cycles.samples = 16
scene.render.resolution_x = scene.render.resolution_y = 256
scene.render.filepath = str(Path(picture).resolve())
bpy.ops.render.render(write_still=True)
