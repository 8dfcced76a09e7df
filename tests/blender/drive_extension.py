"""Runs in a process of its own: installs the extension into a fresh profile, uses it, prints facts.

    python drive_extension.py ZIP NEWER_ZIP BUNDLE ENGINE PHOTO

ENGINE is an executable that stands for the engine's Python; facts go out as the last line, JSON.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import bpy  # first: it makes the next one importable

import addon_utils  # isort: skip

ZIP, NEWER_ZIP, BUNDLE, ENGINE, PHOTO = sys.argv[1:]
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

facts["without_tooltip"] = [
    name for name in dir(bpy.ops.id3d) if not getattr(bpy.ops.id3d, name).get_rna_type().description
]

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
albedo = Path(BUNDLE, "textures", "albedo.png")
content = albedo.read_bytes()
albedo.write_bytes(b"")
facts["generate_damaged"] = attempt(bpy.ops.id3d.generate_head)
albedo.write_bytes(content)
facts["generate_fails"] = attempt(bpy.ops.id3d.generate_head, text="FAIL")
preferences.python = "/nowhere/python"
facts["no_engine"] = attempt(bpy.ops.id3d.generate_head)
facts["check_no_engine"] = attempt(bpy.ops.id3d.check_engine)


def left_behind() -> list[str]:
    """What the extension registered and is still there."""
    return [name for name in dir(bpy.types) if name.startswith("ID3D_")] + [
        f"{owner}.{name}"
        for owner in ("Scene", "WindowManager", "Object")
        for name in dir(getattr(bpy.types, owner))
        if name.startswith("id3d")
    ]


for _ in range(2):
    addon_utils.disable(EXTENSION)
    facts["left_behind"] = left_behind()
    addon_utils.enable(EXTENSION)
facts["enabled_again"] = hasattr(bpy.types.Scene, "id3d")

# A newer version over this one: settings and heads stay.
code = Path(importlib.import_module(EXTENSION).__file__).parent
kept = Path(bpy.utils.user_resource("DATAFILES", path="id3d/heads", create=True)) / "mine.txt"
kept.write_text("mine")
bpy.context.preferences.addons[EXTENSION].preferences.heads = "/my/heads"
facts["upgrade"] = attempt(
    bpy.ops.extensions.package_install_files, filepath=NEWER_ZIP, repo="user_default", overwrite=True
)
preferences = bpy.context.preferences.addons[EXTENSION].preferences
facts["upgraded"] = {
    "version": 'version = "0.1.1"' in (code / "blender_manifest.toml").read_text(),
    "heads": preferences.heads,
    "python": preferences.python,
    "works": attempt(bpy.ops.id3d.import_head, directory=BUNDLE),
}
facts["written_into_the_code"] = sorted(
    path.name for path in code.rglob("*") if path.suffix not in (".py", ".pyc") and path.is_file()
)
repositories = [repository.module for repository in bpy.context.preferences.extensions.repos]
facts["removal"] = attempt(
    bpy.ops.extensions.package_uninstall, repo_index=repositories.index("user_default"), pkg_id="id3d"
)
facts["removed"] = {
    "enabled": EXTENSION in bpy.context.preferences.addons,
    "code": code.exists(),
    "left_behind": left_behind(),
    "heads": kept.exists(),
}
print(json.dumps(facts))
