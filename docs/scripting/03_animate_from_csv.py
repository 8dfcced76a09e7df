"""Put a Live Link Face recording on a head and save it as a .blend file.

blender --background --python 03_animate_from_csv.py -- anna.head take1.csv anna.blend
"""

import importlib
import sys
from pathlib import Path

import bpy

name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
id3d = importlib.import_module(name)

bundle, recording, blend = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
head = id3d.api.load(bundle)
bpy.ops.id3d.import_live_link(filepath=str(Path(recording).resolve()), extend_scene=True)

action = head.data.shape_keys.animation_data.action
print(f"{action.name}: frames {action.frame_range[0]:.0f} to {action.frame_range[1]:.0f}")
bpy.ops.wm.save_as_mainfile(filepath=blend)
