"""Generate Head from ID: run the engine, then import what it made.

`execute` runs to the end and is what scripts and background Blender call; `invoke` starts the same
child process and lets `job` follow it, so that Blender stays usable.
"""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from .. import history, job
from ..engine import claim_name, partial
from ..job_notes import Busy, Notes, Request
from ..preferences import heads_folder, preferences, user_folder
from ..properties import MESHES, PRESETS, WORDS

# docs/remote.md knows one kind of job.
NEEDS_LOCAL = "Changes by text need a local engine: choose one in ID3D's preferences"


class Making:
    """What making, changing and resuming have in common."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if job.current is not None:
            cls.poll_message_set("A head is being made: wait for it, or cancel it")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode to add a head")
        else:
            return True
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        started = self._start(context)
        if started is None:
            return {"CANCELLED"}
        try:
            code = started.run.wait()
        except KeyboardInterrupt:
            started.run.cancel()
            code = started.run.wait()
        started.listen()
        outcome = started.end(code)
        history.forget()
        for sentence in started.notes:
            self.report({"INFO"}, sentence)
        if outcome.kind == job.READY:
            made = outcome.request
            try:
                # With undo, so that one step takes the head away again.
                return bpy.ops.id3d.import_head(
                    "EXEC_DEFAULT", True, directory=made.out, instead_of=made.head
                )
            except RuntimeError as error:
                self.report({"ERROR"}, job.reported(error))
                return {"CANCELLED"}
        failed = outcome.kind == job.FAILED
        self.report({"ERROR" if failed else "INFO"}, f"{outcome.sentence} (log: {outcome.log})")
        return {"CANCELLED"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if bpy.app.background:
            return self.execute(context)
        started = self._start(context)
        if started is None:
            return {"CANCELLED"}
        job.follow(started)
        return {"FINISHED"}

    def _begin(self, context: bpy.types.Context, request: Request, *, resume: bool) -> job.Job | None:
        if request.target and preferences(context).engine == "REMOTE":
            return self._refuse(NEEDS_LOCAL)
        needed = [*request.photos, *([str(Path(request.head, "head.json"))] if request.head else [])]
        missing = [path for path in needed if not Path(path).is_file()]
        if missing:
            Notes(user_folder("jobs")).let_go(request)
            return self._refuse(f"There is no file {missing[0]}: check the path, or put it back")
        try:
            return job.start(context, request, resume=resume)
        except Busy:
            return self._refuse(f"{request.name} is being made by another Blender: wait for that one")
        except OSError as error:
            return self._refuse(f"The engine cannot be started ({error}): check ID3D's preferences", "check")

    def _refuse(self, sentence: str, fix: str = "") -> None:
        self.report({"ERROR"}, sentence)
        job.conclude(job.Outcome(job.FAILED, sentence, fix="id3d.check_engine" if fix else ""))


class ID3D_OT_generate_head(Making, bpy.types.Operator):
    """Make a head with expressions from photos of one person"""

    bl_idname = "id3d.generate_head"
    bl_label = "Generate Head from ID"
    bl_options = {"REGISTER"}  # noqa: RUF012 (undo belongs to the import at the end)

    photos: StringProperty(name="Photos", description="Paths, one a line; empty: the panel's list")
    text: StringProperty(name="Text", description=f"What the photos do not say. {WORDS}")
    preset: EnumProperty(name="Preset", items=PRESETS, default="draft", description="Time against quality")
    expressions: StringProperty(
        name="Expressions", default="all", description="All, or names with commas between them"
    )
    seed: IntProperty(name="Seed", min=0, description="The same seed and photos give the same head")

    topology: EnumProperty(name="Mesh", items=MESHES, default="fine", description="How fine the head is")

    def _start(self, context: bpy.types.Context) -> job.Job | None:
        listed = [photo.path for photo in context.scene.id3d.photos]
        photos = [str(Path(bpy.path.abspath(path)).resolve()) for path in self.photos.splitlines() or listed]
        if not photos:
            return self._refuse("Add a photo first")
        if not self.expressions:
            return self._refuse("Choose at least one expression")
        if len(photos) > 1 and any(path.lower().endswith(".id") for path in photos):
            return self._refuse("A saved identity stands for all photos: keep either it or the photos")
        try:
            out = claim_name(heads_folder(context).resolve(), "head")
        except OSError as error:
            return self._refuse(f"The heads folder cannot be written ({error}): choose another one")
        settings = (self.text, self.preset, self.expressions, self.seed, self.topology)
        return self._begin(context, Request(str(out), tuple(photos), *settings), resume=False)


class ID3D_OT_resume(Making, bpy.types.Operator):
    """Go on with a stopped job from its last checkpoint, at most some seconds before it stopped"""

    bl_idname = "id3d.resume"
    bl_label = "Resume"
    bl_options = {"REGISTER"}  # noqa: RUF012

    out: StringProperty(name="Head", description="The NAME.head that was being made", subtype="DIR_PATH")

    def _start(self, context: bpy.types.Context) -> job.Job | None:
        request = _stopped(self.out)
        if request is None:
            return self._refuse("There is nothing to resume: generate the head again")
        return self._begin(context, request, resume=True)


class ID3D_OT_discard(bpy.types.Operator):
    """Delete what a stopped job has done so far; it cannot be resumed any more"""

    bl_idname = "id3d.discard"
    bl_label = "Discard"
    bl_options = {"REGISTER"}  # noqa: RUF012

    out: StringProperty(name="Head", description="The NAME.head that was being made", subtype="DIR_PATH")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        request = _stopped(self.out)
        if request is None:
            self.report({"ERROR"}, "There is no stopped job of that name")
            return {"CANCELLED"}
        notes = Notes(user_folder("jobs"))
        try:
            lock = notes.lock(request)
        except Busy:
            self.report({"ERROR"}, f"{request.name} is being made: cancel it first")
            return {"CANCELLED"}
        notes.discard(request)
        lock.release()
        job.forget()
        history.forget()
        if partial(Path(request.out)).exists():
            self.report({"WARNING"}, f"{partial(Path(request.out))} could not be deleted whole")
        return {"FINISHED"}


class ID3D_OT_cancel(bpy.types.Operator):
    """Stop within two seconds and keep what is done for Resume; press again to stop at once"""

    bl_idname = "id3d.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if job.current is None:
            cls.poll_message_set("No head is being made")
        return job.current is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        job.current.run.cancel()
        job.current.line = "Stopping"
        job.redraw()
        return {"FINISHED"}


class ID3D_OT_dismiss(bpy.types.Operator):
    """Take this message away"""

    bl_idname = "id3d.dismiss"
    bl_label = "Dismiss"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        job.forget()
        return {"FINISHED"}


class ID3D_OT_open_log(bpy.types.Operator):
    """Open what the engine said in the last job"""

    bl_idname = "id3d.open_log"
    bl_label = "Open Log"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if job.last is None or job.last.log is None:
            cls.poll_message_set("There is no log: no job has run yet")
            return False
        return True

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        log = job.last and job.last.log
        return f"{cls.__doc__}: {log}" if log else cls.__doc__

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not job.last.log.is_file():
            self.report({"ERROR"}, f"{job.last.log} is gone")
            return {"CANCELLED"}
        return bpy.ops.wm.path_open(filepath=str(job.last.log))


CLASSES = (
    ID3D_OT_generate_head,
    ID3D_OT_resume,
    ID3D_OT_discard,
    ID3D_OT_cancel,
    ID3D_OT_dismiss,
    ID3D_OT_open_log,
)


def _stopped(out: str) -> Request | None:
    """The stopped job that makes `out`; with nothing named, the newest."""
    notes = Notes(user_folder("jobs"))
    if not out:
        return next(iter(notes.unfinished()), None)
    request = notes.read(bpy.path.abspath(out).rstrip("/\\"))
    return request if request is not None and request.resumable() else None
