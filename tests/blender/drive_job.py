"""Runs in a process of its own: jobs that are followed, cancelled, killed, resumed; prints facts.

    python drive_job.py ZIP ENGINE PHOTO FOLDER

ENGINE stands for the engine's Python (see conftest.py), FOLDER takes .blend files. Timers do not run
in a script, so `follow` calls the job's tick as Blender's main loop would.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import bpy
from made_up import attempt, follow

ZIP, ENGINE, PHOTO, FOLDER = sys.argv[1:]
EXTENSION = "bl_ext.user_default.id3d"
facts: dict = {}


def start(text: str) -> None:
    """Press the button, and wait until the engine is at work."""
    bpy.context.scene.id3d.text = text
    out = engine.claim_name(preferences.heads_folder(bpy.context).resolve(), "head")
    job.follow(job.start(bpy.context, job_notes.Request(str(out), (PHOTO,), text), resume=False))
    follow(job, lambda: "Shape" in job.current.line)


def finish() -> None:
    """Let an engine on HOLD finish, and follow it."""
    Path(job.current.request.out + ".partial", "go").touch()
    follow(job)


def picture(path: str, stamp: int) -> int:
    """Width of what the panel shows of a picture file; without windows icons have no number."""
    pictures.icon(path, stamp)
    return pictures._icons[path].image_size[0]


def now() -> dict:
    """What the panel tells."""
    last = job.last
    return {
        "running": job.current is not None,
        "kind": last and last.kind,
        "sentence": last and last.sentence,
        "resumable": bool(last and last.resumable),
        "text": bpy.context.window_manager.id3d.text,
        "preview": [thing.name for thing in bpy.data.objects if "id3d_preview" in thing],
        "heads": sorted(thing.name for thing in bpy.data.objects if "id3d_seed" in thing),
    }


bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.extensions.package_install_files(
    filepath=ZIP, repo="user_default", enable_on_install=True, overwrite=True
)
child, engine, framing, job, job_notes, history, live_head, pictures, preferences = (
    importlib.import_module(f"{EXTENSION}.blender_addon.{name}")
    for name in (
        "child",
        "engine",
        "framing",
        "job",
        "job_notes",
        "history",
        "live_head",
        "pictures",
        "preferences",
    )
)
preferences.preferences(bpy.context).python = ENGINE
operators = bpy.ops.id3d

# A job from the button to the scene, with the head in the viewport on the way.
chosen = bpy.data.objects.new("chosen", None)
bpy.context.scene.collection.objects.link(chosen)
chosen.select_set(True)
bpy.context.view_layer.objects.active = chosen
start("LIVE")
follow(job, lambda: job.current.previews == 3)
(preview,) = (thing for thing in bpy.data.objects if "id3d_preview" in thing)
facts["live"] = {
    "corners": [round(value, 3) for value in preview.dimensions],
    "faces": len(preview.data.polygons),
    "hidden": [preview.hide_select, preview.hide_render],
    "visible": preview.visible_get(),
    "selected": [thing.name for thing in bpy.context.selected_objects],
    "active": bpy.context.view_layer.objects.active.name,
    "notes": job.current.notes,
    "text": bpy.context.window_manager.id3d.text,
    "picture": picture(job.current.preview, job.current.previews),
}
facts["second_job"] = attempt(operators.generate_head, photos=PHOTO)
bpy.ops.wm.save_as_mainfile(filepath=str(Path(FOLDER, "saved.blend")), copy=True)
facts["saved_without"] = now()["preview"]
facts["nothing_to_log"] = attempt(operators.open_log)

# Cancelled in the middle, then on from there.
operators.cancel()
facts["cancel_s"] = follow(job)
facts["cancelled"] = now()
history.forget()
found = history.scan(preferences.heads_folder(bpy.context), preferences.user_folder("jobs"))
facts["stopped"] = [request.name for request in found.stopped]
facts["resume"] = attempt(operators.resume)
facts["resumed"] = now()
facts["resume_again"] = attempt(operators.resume)
for thing in bpy.data.objects:
    if "id3d_seed" in thing:
        bpy.data.objects.remove(thing)

# Killed from outside.
start("WAIT")
os.kill(job.current.run._process.pid, signal.SIGKILL)
facts["killed_s"] = follow(job)
facts["killed"] = now()
out = job.last.request.out
facts["discard"] = attempt(operators.discard, out=out)
facts["discarded"] = [now()["kind"], Path(out + ".partial").exists()]

# The add-on itself fails while it follows the engine.
start("WAIT")
tell, job._tell = job._tell, lambda running: 1 / 0
with suppress(ZeroDivisionError):
    job.tick()
job._tell = tell
facts["own_fault"] = now()
operators.discard(out=job.last.request.out)

# Its own reason to fail, which leaves nothing behind.
bpy.context.scene.id3d.text = ""
out = engine.claim_name(preferences.heads_folder(bpy.context).resolve(), "head")
job.follow(job.start(bpy.context, job_notes.Request(str(out), (PHOTO,), "FAIL"), resume=False))
follow(job)
facts["failed"] = now() | {"log": job.last.log.read_text().strip().splitlines()[-1]}
facts["left_behind"] = [path.name for path in out.parent.glob("head-*.partial")]

# Another file is opened meanwhile: the head waits; the same one again: it comes in.
home = str(Path(FOLDER, "home.blend"))
bpy.ops.wm.save_as_mainfile(filepath=home)
start("HOLD")
bpy.ops.wm.read_homefile(app_template="")
finish()
facts["elsewhere"] = now()
facts["import"] = attempt(operators.import_head, directory=job.last.request.out)
bpy.ops.wm.open_mainfile(filepath=home)
start("HOLD")
bpy.ops.wm.revert_mainfile()
finish()
facts["reverted"] = now()

# Another mode at the end, and undo in the middle.
mesh = bpy.data.objects.new("mesh", bpy.data.meshes.new("mesh"))
bpy.context.scene.collection.objects.link(mesh)
bpy.context.view_layer.objects.active = mesh
start("HOLD")
bpy.ops.object.mode_set(mode="EDIT")
finish()
facts["edit_mode"] = now() | {"mode": bpy.context.mode}
bpy.ops.object.mode_set(mode="OBJECT")
facts["dismiss"] = [attempt(operators.dismiss), now()["kind"]]
start("LIVE")
follow(job, lambda: job.current.previews == 3)
surface = Path(job.current.request.out + ".partial", "surface.safetensors")
operators.cancel()
operators.cancel()  # at once
follow(job)
# A script has no undo: an undo step would bring the preview back and then call this.
live_head.show(bpy.context.scene, live_head.read_safetensors(surface)[0])
facts["brought_back"] = now()["preview"]
for handler in bpy.app.handlers.undo_post:
    handler(bpy.context.scene)
facts["after_undo"] = now()["preview"]

# The view: moved to a head that would be a speck, left alone where it looks through a camera.
space = next(a for a in bpy.context.screen.areas if a.type == "VIEW_3D").spaces.active
box = bpy.data.meshes.new("box")
box.from_pydata([(x, y, z) for x in (-0.1, 0.1) for y in (-0.1, 0.1) for z in (0.0, 0.25)], [], [])
speck = bpy.data.objects.new("speck", box)
bpy.context.scene.collection.objects.link(speck)
bpy.context.view_layer.update()
facts["framed"] = []
for perspective in ("PERSP", "CAMERA"):
    view = space.region_3d
    view.view_perspective, view.view_distance, view.view_location = perspective, 15.0, (3.0, 0.0, 0.0)
    framing.frame(bpy.context.scene, speck)
    facts["framed"].append([round(view.view_distance, 3), [round(x, 3) for x in view.view_location]])

# History and the panel's settings.
found = history.scan(preferences.heads_folder(bpy.context), preferences.user_folder("jobs"))
facts["heads"] = [made.request.name for made in found.heads]
settings = bpy.context.scene.id3d
settings.photos.clear()
facts["again"] = attempt(operators.again, head=found.heads[0].request.out)
facts["settings"] = [settings.seed, settings.expressions(), [photo.path for photo in settings.photos]]
facts["again_nothing"] = attempt(operators.again, head="/nowhere/x.head")
settings.choose("smile,grin")
facts["chosen"] = [settings.all_expressions, settings.expressions()]
settings.choose("all")
facts["all"] = settings.expressions()
identity = Path(FOLDER, "anna.id")
identity.touch()
facts["identity"] = attempt(operators.use_identity, filepath=str(identity))
facts["photos"] = [photo.path for photo in settings.photos]
facts["twice"] = attempt(
    operators.add_photos, directory=str(identity.parent), files=[{"name": identity.name}, {"name": "b.jpg"}]
)
facts["added"] = [Path(photo.path).name for photo in settings.photos]
facts["mixed"] = attempt(operators.generate_head, photos=f"{PHOTO}\n{identity}")

settings.photos.clear()
facts["save_nobody"] = attempt(operators.save_identity, name="anna")
settings.photos.add().path = PHOTO
facts["save_nameless"] = attempt(operators.save_identity, name="/")
facts["save_identity"] = attempt(operators.save_identity, name="anna")
facts["kept"] = [path.name for path in preferences.identities_folder().glob("*.id")]

# Disabled in mid-job: the engine goes.
start("WAIT")
process = job.current.run._process
bpy.ops.preferences.addon_disable(module=EXTENSION)
facts["disabled"] = [process.poll() is not None, hasattr(bpy.types, "ID3D_PT_main")]

# So do all others, and when it is enabled again each of them can be started.
bpy.ops.preferences.addon_enable(module=EXTENSION)
check_engine, identity, setting_up = (
    importlib.import_module(f"{EXTENSION}.blender_addon.operators.{name}")
    for name in ("check_engine", "identity", "setup_engine")
)
asleep = [sys.executable, "-c", "import sys; sys.stdin.read()"]
folder = Path(FOLDER)
identity._running = engine.EngineRun(asleep, folder, folder / "identity.log")
setting_up._run = child.Child(asleep, os.environ, folder, folder / "setup.log")
children = [identity._running, setting_up._run]
answer = threading.Event()
check_engine.run_doctor = lambda python, cache: answer.wait() and {"checks": [], "version": 0, "python": 0}
history.scan = lambda heads, jobs: answer.wait() and history.Found()
bpy.context.scene.id3d.photos.add().path = PHOTO
preferences.preferences(bpy.context).python = ENGINE
check_engine._checking = threading.Thread(target=check_engine._ask, args=(ENGINE, folder))
check_engine._checking.start()
history.forget()
history.found(bpy.context)
threads = [check_engine._checking, history._thread]


def startable() -> list[bool]:
    """Who can begin."""
    buttons = (operators.setup_engine, operators.save_identity, operators.check_engine)
    return [*(button.poll() for button in buttons), history._thread is None]


facts["at_work"] = startable()
bpy.ops.preferences.addon_disable(module=EXTENSION)
bpy.ops.preferences.addon_enable(module=EXTENSION)
bpy.context.scene.id3d.photos.add().path = PHOTO
preferences.preferences(bpy.context).python = ENGINE
facts["enabled_again"] = startable()
facts["children"] = [run.wait() is not None for run in children]
answer.set()
for thread in threads:
    thread.join()
facts["too_late"] = [check_engine.report, check_engine.lines, history._found is None]
print(json.dumps(facts))
