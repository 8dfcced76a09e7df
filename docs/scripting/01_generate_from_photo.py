"""Make a head from photos of one person and save it as a .blend file.

blender --background --python 01_generate_from_photo.py -- anna.blend anna1.jpg anna2.jpg
"""

import importlib
import sys

import bpy

# ID3D, whatever its repository is called.
name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
id3d = importlib.import_module(name)

blend, *photos = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = id3d.api.generate(photos=photos, preset="draft", seed=1)

print(f"{head.name}: {len(head.data.vertices)} vertices")
print("expressions:", *(key.name for key in head.data.shape_keys.key_blocks[1:]))
print("made by ID3D", head["id3d_engine"], "with seed", head["id3d_seed"])
bpy.ops.wm.save_as_mainfile(filepath=blend)
