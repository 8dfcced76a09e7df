"""Keep a person: the photos in the list become one small file of numbers, without any photo in it."""

from __future__ import annotations

import re
from pathlib import Path

import bpy
from bpy.props import StringProperty

from .. import job, poller
from ..engine import EngineRun
from ..preferences import engine_python, identities_folder, user_folder

_running: EngineRun | None = None


class ID3D_OT_save_identity(bpy.types.Operator):
    """Save the person in these photos, to make other heads without the photos"""

    bl_idname = "id3d.save_identity"
    bl_label = "Save Identity"
    bl_options = {"REGISTER"}  # noqa: RUF012 (Blender's own convention)

    name: StringProperty(name="Name", description="Of the person; one that is taken is replaced")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if _running is not None or job.current is not None:
            cls.poll_message_set("The engine is at work: wait for it")
        elif not _photos(context):
            cls.poll_message_set("Add photos of the person first")
        elif not engine_python(context):
            cls.poll_message_set("Reading photos needs an engine on this machine: set one up")
        else:
            return True
        return False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._asked = True
        self.name = self.name or Path(_photos(context)[0]).stem
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        global _running
        name = re.sub(r"[^\w .-]", "", self.name).strip(" .")
        if not name:
            self.report({"ERROR"}, "Give the person a name")
            return {"CANCELLED"}
        out = identities_folder() / f"{name}.id"
        log = user_folder("logs") / "identity.log"
        command = [engine_python(context), "-m", "id3d_engine", "identity", *_photos(context)]
        try:
            run = EngineRun([*command, "--out", str(out)], user_folder("cache"), log)
        except OSError as error:
            self.report({"ERROR"}, f"The engine cannot be started ({error}): check ID3D's preferences")
            return {"CANCELLED"}
        if getattr(self, "_asked", False) and not bpy.app.background:
            _running = run
            poller.follow(lambda: _ended(run, out))
            return {"FINISHED"}
        run.wait()
        outcome = _outcome(run, out)
        self.report({"ERROR" if outcome.kind == job.FAILED else "INFO"}, outcome.sentence)
        return {"CANCELLED" if outcome.kind == job.FAILED else "FINISHED"}


CLASSES = (ID3D_OT_save_identity,)


def detach() -> None:
    """End what runs."""
    global _running
    if _running is not None:
        _running.kill()
        _running = None


def _photos(context: bpy.types.Context) -> list[str]:
    paths = [bpy.path.abspath(photo.path) for photo in context.scene.id3d.photos]
    return [path for path in paths if not path.lower().endswith(".id")]


def _ended(run: EngineRun, out: Path) -> bool:
    global _running
    if run.poll() is None:
        return False
    _running = None
    job.conclude(_outcome(run, out))
    return True


def _outcome(run: EngineRun, out: Path) -> job.Outcome:
    if run.poll() == 0:
        return job.Outcome(job.DONE, f"{out.stem} is among the saved identities now")
    return job.Outcome(job.FAILED, run.sentence(), log=run.log)
