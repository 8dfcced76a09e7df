"""Runs in a process of its own: installs the extension into a fresh profile, uses it, prints facts.

    python drive_extension.py ZIP BUNDLE ENGINE PHOTO

ENGINE is an executable that stands for the engine's Python; facts go out as the last line, JSON.
"""

from __future__ import annotations

import importlib
import json
import sys

import bpy  # first: it makes the next one importable

import addon_utils  # isort: skip

ZIP, BUNDLE, ENGINE, PHOTO = sys.argv[1:]
EXTENSION = "bl_ext.user_default.id3d"
facts: dict = {}


def attempt(action, **arguments) -> str:
    """What an operator answers, or the text that a script sees when it fails."""
    try:
        return sorted(action(**arguments))[0]
    except RuntimeError as error:
        return str(error)


bpy.ops.wm.read_factory_settings(use_empty=True)
facts["install"] = attempt(
    bpy.ops.extensions.package_install_files,
    filepath=ZIP,
    repo="user_default",
    enable_on_install=True,
    overwrite=True,
)
facts["enabled"] = EXTENSION in bpy.context.preferences.addons
# Blender's own check of imports against its extension policy.
facts["warnings"] = [str(warning) for warning in addon_utils._extensions_warnings_get().get(EXTENSION, ())]
facts["torch"] = "torch" in sys.modules
facts["top_level"] = sorted({"id3d_engine", "blender_addon"} & set(sys.modules))
facts["registered"] = [hasattr(bpy.types, "ID3D_PT_main"), hasattr(bpy.types.Scene, "id3d")]

facts["import"] = attempt(bpy.ops.id3d.import_head, directory=BUNDLE)
head = bpy.context.view_layer.objects.active
facts["head"] = {
    "name": head.name,
    "vertices": len(head.data.vertices),
    "keys": [key.name for key in head.data.shape_keys.key_blocks],
    "values": [key.value for key in head.data.shape_keys.key_blocks],
    "selected": [thing.name for thing in bpy.context.selected_objects],
}
facts["second"] = attempt(bpy.ops.id3d.import_head, directory=BUNDLE)
facts["names"] = sorted(thing.name for thing in bpy.data.objects)
facts["import_nothing"] = attempt(bpy.ops.id3d.import_head, directory="/nowhere/x.head")

settings = bpy.context.scene.id3d
facts["no_photo"] = attempt(bpy.ops.id3d.generate_head)
facts["wrong_photo"] = attempt(bpy.ops.id3d.generate_head, photos="/nowhere/me.jpg")

preferences = bpy.context.preferences.addons[EXTENSION].preferences
preferences.python = ENGINE
settings.photos.add().path = PHOTO
before = set(bpy.data.objects)
facts["generate"] = attempt(bpy.ops.id3d.generate_head, text="with a beard", seed=5)
(made,) = set(bpy.data.objects) - before
facts["made"] = {"name": made.name, "seed": made["id3d_seed"], "vertices": len(made.data.vertices)}
facts["generate_fails"] = attempt(bpy.ops.id3d.generate_head, text="FAIL")
preferences.python = "/nowhere/python"
facts["no_engine"] = attempt(bpy.ops.id3d.generate_head)
facts["check_no_engine"] = attempt(bpy.ops.id3d.check_engine)

for _ in range(2):
    addon_utils.disable(EXTENSION)
    facts["left_behind"] = [
        name
        for name in ("ID3D_PT_main", "ID3D_OT_generate_head", "ID3D_PG_settings")
        if hasattr(bpy.types, name)
    ] + [owner for owner in ("Scene", "WindowManager") if hasattr(getattr(bpy.types, owner), "id3d")]
    addon_utils.enable(EXTENSION)
facts["enabled_again"] = hasattr(bpy.types.Scene, "id3d")
facts["module"] = importlib.import_module(EXTENSION).__name__
print(json.dumps(facts))
