"""Generate Head from ID: run the engine, then import what it made.

`execute` runs to the end and is what scripts and background Blender call; `invoke` starts the same
child process and follows it with a timer, so that Blender stays usable.
"""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..engine import CANCELLED, EngineRun, describe, generate_arguments, next_free
from ..preferences import engine_python, heads_folder, user_folder
from ..properties import PRESETS

# One job at a time: two would fight for the same cores or the same GPU.
_running: EngineRun | None = None


class ID3D_OT_generate_head(bpy.types.Operator):
    """Make a head with expressions from photos of one person"""

    bl_idname = "id3d.generate_head"
    bl_label = "Generate Head from ID"
    bl_options = {"REGISTER"}  # noqa: RUF012 (undo belongs to the import at the end)

    photos: StringProperty(name="Photos", description="Paths, one a line; empty: the panel's list")
    text: StringProperty(name="Text", description="What the photos do not say")
    preset: EnumProperty(name="Preset", items=PRESETS, default="draft")
    seed: IntProperty(name="Seed", min=0)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if _running is not None:
            cls.poll_message_set("A head is being made: wait for it, or cancel it")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode to add a head")
        else:
            return True
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        run = self._start(context)
        if run is None:
            return {"CANCELLED"}
        code = run.wait()
        self._note(run.events())
        return self._finish(context, run, code)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        global _running
        run = self._start(context)
        if run is None:
            return {"CANCELLED"}
        _running = self._run = run
        progress = context.window_manager.id3d
        progress.fraction, progress.text = 0.0, "Starting the engine"
        self._timer = context.window_manager.event_timer_add(0.25, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        events = self._run.events()
        self._note(events)
        steps = [event for event in events if event["stage"] != "note"]
        if steps:
            progress = context.window_manager.id3d
            progress.fraction, progress.text = describe(steps[-1])
        _redraw(context)
        code = self._run.poll()
        if code is None:
            return {"RUNNING_MODAL"}
        self._clean_up(context)
        return self._finish(context, self._run, code)

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender drops modal operators when another file is opened."""
        self._run.cancel()
        self._clean_up(context)

    def _start(self, context: bpy.types.Context) -> EngineRun | None:
        listed = [photo.path for photo in context.scene.id3d.photos]
        photos = [str(Path(bpy.path.abspath(path)).resolve()) for path in self.photos.splitlines() or listed]
        missing = [path for path in photos if not Path(path).is_file()]
        if not photos or missing:
            what = f"there is no file {missing[0]}: check the path" if missing else "add a photo first"
            self.report({"ERROR"}, what[0].upper() + what[1:])
            return None
        try:
            folder = heads_folder(context)
            folder.mkdir(parents=True, exist_ok=True)
            self._out = next_free(folder.resolve(), "head")
            arguments = generate_arguments(
                photos, self._out, text=self.text, preset=self.preset, seed=self.seed
            )
            log = user_folder("logs") / "last_run.log"
            return EngineRun(engine_python(context), arguments, user_folder("cache"), log)
        except OSError as error:
            self.report({"ERROR"}, f"The engine cannot be started ({error}): check ID3D's preferences")
            return None

    def _note(self, events: list[dict]) -> None:
        for event in events:
            if event["stage"] == "note":
                self.report({"INFO"}, event.get("message", ""))

    def _finish(self, context: bpy.types.Context, run: EngineRun, code: int) -> set[str]:
        if run.cancelled or code == CANCELLED:
            self.report({"INFO"}, "Cancelled; nothing was added to the scene")
            return {"CANCELLED"}
        if code != 0:
            self.report({"ERROR"}, f"{run.reason()} (log: {run.log})")
            return {"CANCELLED"}
        if context.mode != "OBJECT":
            self.report({"WARNING"}, f"The head is ready: import {self._out} in Object Mode")
            return {"FINISHED"}
        # With undo, so that one step takes the head away again.
        return bpy.ops.id3d.import_head("EXEC_DEFAULT", True, directory=str(self._out))

    def _clean_up(self, context: bpy.types.Context) -> None:
        global _running
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.id3d.text = ""
        _running = None
        _redraw(context)


class ID3D_OT_cancel(bpy.types.Operator):
    """Stop after the current step; press again to stop at once"""

    bl_idname = "id3d.cancel"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _running is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        stop()
        context.window_manager.id3d.text = "Stopping after this step"
        return {"FINISHED"}


CLASSES = (ID3D_OT_generate_head, ID3D_OT_cancel)


def running() -> bool:
    """Whether a head is being made."""
    return _running is not None


def stop() -> None:
    """Ask a running engine to stop."""
    if _running is not None:
        _running.cancel()


def _redraw(context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
