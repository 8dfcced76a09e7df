"""Change one head by several texts and set the new heads side by side.

    blender --background --python 07_change_by_text.py -- anna.head changed.blend "with a full beard" "bald"

The bundles of the new heads lie beside the old one: anna-edit-001.head, anna-edit-002.head, ...
"""

import importlib
import sys

import bpy

name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
id3d = importlib.import_module(name)

bundle, blend, *texts = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
old = id3d.api.load(bundle)
for number, text in enumerate(texts, start=1):
    head = id3d.api.edit(old, text=text, seed=1)  # where `old` stands
    head.location.x += 0.4 * number
    print(f"{head.name}: {head['id3d_text']}")
old.hide_set(False)
old.hide_render = False

bpy.ops.wm.save_as_mainfile(filepath=blend)
