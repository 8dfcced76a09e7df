"""Runs in a process of its own: a head by way of a remote engine, in a fresh profile.

    python drive_remote.py ZIP ADDRESS IDENTITY

Facts go out as the last line, JSON.
"""

from __future__ import annotations

import importlib
import json
import sys

import bpy

ZIP, ADDRESS, IDENTITY = sys.argv[1:]
EXTENSION = "bl_ext.user_default.id3d"
facts: dict = {}

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.extensions.package_install_files(filepath=ZIP, repo="user_default", enable_on_install=True)
preferences = bpy.context.preferences.addons[EXTENSION].preferences
preferences.engine, preferences.address, preferences.key = "REMOTE", ADDRESS, "secret"

facts["generate"] = sorted(bpy.ops.id3d.generate_head(photos=IDENTITY, text="bald", seed=3))
head = bpy.context.view_layer.objects.active
facts["head"] = {"keys": len(head.data.shape_keys.key_blocks), "seed": head["id3d_seed"]}
preferences.key = "wrong"
try:
    bpy.ops.id3d.generate_head(photos=IDENTITY)
except RuntimeError as error:
    facts["wrong_key"] = str(error)

# Nobody answers: the job is offered, and can be discarded.
folders = importlib.import_module(f"{EXTENSION}.blender_addon.preferences")
notes = importlib.import_module(f"{EXTENSION}.blender_addon.job_notes").Notes(folders.user_folder("jobs"))
heads = folders.heads_folder(bpy.context)


def left() -> list[int]:
    """Stopped jobs, and their folders."""
    return [len(notes.unfinished()), len(list(heads.glob("*.partial")))]


preferences.address = "http://127.0.0.1:9"
try:
    bpy.ops.id3d.generate_head(photos=IDENTITY)
except RuntimeError as error:
    facts["nobody"] = str(error)
facts["left"] = left()
facts["discard"] = sorted(bpy.ops.id3d.discard())
facts["discarded"] = left()
print(json.dumps(facts))
