"""Write a head as glTF, for game engines and the web, with all shape keys and their names.

    blender --background --python 06_export_gltf.py -- anna.head anna.glb

The same head as FBX: bpy.ops.export_scene.fbx(filepath=..., use_selection=True, use_mesh_modifiers=False).
"""

import importlib
import sys
from pathlib import Path

import bpy

name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
id3d = importlib.import_module(name)

bundle, out = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = id3d.api.load(bundle)  # selected, as the only object
bpy.ops.export_scene.gltf(
    filepath=str(Path(out).resolve()),
    use_selection=True,
    export_apply=False,  # applying modifiers would drop the shape keys
    export_extras=True,  # where the head comes from goes along
)
print(f"{len(head.data.shape_keys.key_blocks) - 1} morph targets")
