"""Runs in a process of its own: heads changed by text, by script and followed as from the panel; facts.

    python drive_edit.py ZIP ENGINE BUNDLE PHOTO FOLDER

ENGINE stands for the engine's Python (see conftest.py), BUNDLE is a head from elsewhere, FOLDER takes files.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path

import bpy
from made_up import attempt, follow
from mathutils import Matrix

ZIP, ENGINE, BUNDLE, PHOTO, FOLDER = sys.argv[1:]
EXTENSION = "bl_ext.user_default.id3d"
facts: dict = {}


def press(text: str) -> None:
    """The panel's button, followed until the engine is at work."""
    started = edit_head.ID3D_OT_edit_head._start(Button(text), bpy.context)
    job.follow(started)
    follow(job, lambda: "Shape" in job.current.line)


class Button:
    """An operator's properties as the panel sets them; Blender makes operators only in windows."""

    preset, seed, target, photos = "draft", 4, "both", ""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getattr__(self, name: str):
        return getattr(edit_head.ID3D_OT_edit_head, name).__get__(self)


def place(head) -> list[float]:
    return [round(value, 4) for value in head.matrix_world.translation]


def shown(head) -> dict:
    return {"hidden": [head.hide_get(), head.hide_render], "place": place(head)}


bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.extensions.package_install_files(
    filepath=ZIP, repo="user_default", enable_on_install=True, overwrite=True
)
edit_head, job, job_notes, history, preferences = (
    importlib.import_module(f"{EXTENSION}.blender_addon.{name}")
    for name in ("operators.edit_head", "job", "job_notes", "history", "preferences")
)
id3d = importlib.import_module(EXTENSION)
chosen = preferences.preferences(bpy.context)
chosen.python = ENGINE
operators = bpy.ops.id3d

# A head that was made here: its photos are known.
facts["no_head"] = attempt(operators.edit_head, text="with a beard")
old = id3d.api.generate(photos=PHOTO, seed=1)
parent = bpy.data.objects.new("rig", None)
bpy.context.scene.collection.objects.link(parent)
parent.location = (0, 1, 0)
old.parent = parent
old.matrix_basis = Matrix.Translation((0.5, 0, 0)) @ Matrix.Rotation(0.4, 4, "Z")
old.data.shape_keys.key_blocks["smile"].value = 0.6
glasses = bpy.data.objects.new("glasses", None)
bpy.context.scene.collection.objects.link(glasses)
glasses.parent = old
new = id3d.api.edit(old, text=" with a full beard", target="texture", seed=2)
facts["made"] = shown(new) | {
    "name": new.name,
    "text": [new["id3d_text"], new["id3d_target"], new["id3d_seed"]],
    "active": new == bpy.context.view_layer.objects.active,
    "turned": new.matrix_world == old.matrix_world,
    "parent": new.parent.name,
    "smile": round(new.data.shape_keys.key_blocks["smile"].value, 3),
}
facts["old"] = shown(old) | {"glasses": glasses.hide_get()}
notes = job_notes.Notes(preferences.user_folder("jobs"))
heads = preferences.heads_folder(bpy.context).resolve()
request = notes.read(heads / "head-001-edit-001.head")
facts["request"] = [Path(request.head).name, [Path(path).name for path in request.photos], request.text]
facts["kept"] = sorted(path.name for path in heads.iterdir())

# A change of the change; followed, cancelled, gone on with.
press("LIVE")
facts["preview_seen"] = follow(job, lambda: job.current.previews == 3) < 20
(preview,) = (thing for thing in bpy.data.objects if "id3d_preview" in thing)
facts["preview"] = round((preview.matrix_world.translation - new.matrix_world.translation).length, 4)
facts["busy"] = attempt(operators.edit_head, text="bald")
operators.cancel()
facts["cancel_s"] = follow(job)
facts["cancelled"] = [job.last.kind, job.last.resumable, new.hide_get()]
facts["resume"] = attempt(operators.resume)
again = bpy.context.view_layer.objects.active
facts["resumed"] = shown(again) | {"name": again.name, "before": shown(new)}

# Followed to its end.
press("bald")
follow(job)
facts["done"] = [job.last.kind, job.last.sentence, place(bpy.context.view_layer.objects.active)]

# A head from elsewhere; the new one lies beside it, and the history knows it.
elsewhere = id3d.api.load(BUNDLE)
facts["elsewhere"] = attempt(operators.edit_head, text="with blue eyes", preset="high", seed=9)
made = Path(BUNDLE).with_name("anna-edit-001.head")
facts["beside"] = made.is_dir()
found = history.scan(heads, preferences.user_folder("jobs"))
facts["history"] = {entry.request.name: [entry.request.text, entry.request.target] for entry in found.heads}
settings = bpy.context.scene.id3d
settings.text = "mine"
facts["again"] = attempt(operators.again, head=str(made))
facts["settings"] = [settings.change, settings.target, settings.preset, settings.seed, settings.text]

# No bundle's path leaves the machine.
glb = Path(FOLDER, "head.glb")
attempt(operators.export_head, filepath=str(glb))
properties = [str(value) for thing in bpy.data.objects for value in dict(thing).values()]
facts["told"] = [b".head" in glb.read_bytes(), any(".head" in value for value in properties)]

# Its hair is hidden with a head.
newest = bpy.context.view_layer.objects.active
hair = bpy.data.objects.new("hair", bpy.data.hair_curves.new("hair"))
hair["id3d_hair"], hair.parent = "hair", newest
bpy.context.scene.collection.objects.link(hair)
id3d.api.edit(newest, text="bald", photos=[PHOTO])
facts["hair"] = [hair.hide_get(), hair.hide_render]
request = notes.read(Path(BUNDLE).with_name("anna-edit-002.head"))
facts["given"] = [Path(path).name for path in request.photos]
made = Path(request.out)

# What cannot be done, and why.
newest = bpy.context.view_layer.objects.active
facts["no_text"] = attempt(operators.edit_head, text=" ")
facts["no_photo"] = attempt(operators.edit_head, text="bald", photos="/nowhere/me.jpg")
facts["fails"] = attempt(operators.edit_head, text="FAIL")
facts["left_behind"] = [path.name for path in made.parent.glob("*.partial")]
chosen.engine, chosen.address = "REMOTE", "http://localhost:1"
facts["remote"] = attempt(operators.edit_head, text="bald")
chosen.engine = "PYTHON"
shutil.rmtree(made)
facts["gone"] = attempt(operators.edit_head, text="bald")
del newest["id3d_bundle"]
facts["unknown"] = attempt(operators.edit_head, text="bald")
print(json.dumps(facts))
