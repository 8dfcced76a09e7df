"""One head for each folder of photos: PEOPLE/anna/*.jpg, PEOPLE/bert/*.jpg, ...

    blender --background --python 05_batch_over_folders.py -- PEOPLE heads.blend

A folder that fails is named at the end; the others are made all the same.
"""

import importlib
import sys
from pathlib import Path

import bpy

name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
id3d = importlib.import_module(name)

people, blend = sys.argv[sys.argv.index("--") + 1 :]

bpy.ops.wm.read_homefile(use_empty=True)
failed = {}
for number, folder in enumerate(sorted(path for path in Path(people).iterdir() if path.is_dir())):
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    try:
        head = id3d.api.generate(photos=photos, seed=1)
    except RuntimeError as error:
        failed[folder.name] = str(error).strip()
        continue
    head.name = folder.name
    head.location.x = 0.4 * number
    print(folder.name, "is done")

bpy.ops.wm.save_as_mainfile(filepath=blend)
for person, reason in failed.items():
    print(f"{person} failed: {reason}")
