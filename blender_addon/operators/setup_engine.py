"""Set Up Engine: start `setup_engine.py` as a child process, follow it, say how it ended."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from .. import poller, setup_engine
from ..child import CANCELLED, Child, clean_environment
from ..preferences import engine_folder, engine_requirements, engine_state, preferences, user_folder
from ..sentences import write
from ..torch_builds import Build, Machine, choose, this_machine

KINDS = (
    ("auto", "Automatic", "What this machine has"),
    ("cuda", "NVIDIA GPU (CUDA)", "Large: several gigabytes"),
    ("cpu", "CPU", "Runs everywhere"),
    ("mps", "Mac (Metal)", "The one build for Macs"),
)

_STOPPED = "Stopped; Set Up Engine goes on from here"
_WIDTH, _LETTERS = 480, 76  # of the dialog, and on one of its lines

_machine: Machine | None = None
_looking: threading.Thread | None = None
_run: Child | None = None
# For drawing: how far it is, and what it does, or how it ended.
fraction, message = 0.0, ""


def running() -> bool:
    """Whether the engine is being set up."""
    return _run is not None


def machine(*, wait: bool = False) -> Machine | None:
    """What this machine has; None while that is being found out in the background."""
    global _looking
    if _looking is None:
        _looking = threading.Thread(target=_look, daemon=True)
        _looking.start()
    if wait:
        _looking.join()
    return _machine


def stop() -> None:
    """Stop a running set-up; it goes on when it is started again."""
    if _run is not None:
        _run.cancel()


def detach() -> None:
    """Stop what runs; nobody follows it any more."""
    global _run, fraction, message
    if _run is not None:
        stop()
        _run, fraction, message = None, 0.0, _STOPPED


class ID3D_OT_setup_engine(bpy.types.Operator):
    """Download torch and the engine's other packages into a Python environment of ID3D's own"""

    bl_idname = "id3d.setup_engine"
    bl_label = "Set Up Engine"
    bl_options = {"REGISTER"}  # noqa: RUF012 (Blender's own convention)

    kind: EnumProperty(name="Build of torch", items=KINDS, default="auto")
    wheels: StringProperty(
        name="Folder of Wheels",
        subtype="DIR_PATH",
        description="Install from this folder (made by `pip wheel` or `pip download`) without a network",
    )
    python: StringProperty(
        name="Python",
        subtype="FILE_PATH",
        description="A Python 3.11 to 3.13 to make the environment with. Empty: Blender's own",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if running():
            cls.poll_message_set("The engine is being set up: wait for it, or cancel it")
        return not running()

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        machine()
        return context.window_manager.invoke_props_dialog(self, width=_WIDTH)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "kind")
        for line in self._announcement():
            write(layout, line, letters=_LETTERS)
        layout.prop(self, "wheels")
        layout.prop(self, "python")
        if not self.wheels and (sentence := _offline()):
            write(layout, sentence, "ERROR", _LETTERS)

    def execute(self, context: bpy.types.Context) -> set[str]:
        global _run, fraction, message
        try:
            plan = self._plan()
            file = setup_engine.write_plan(plan, user_folder("engine") / "plan.json")
            script = str(Path(setup_engine.__file__))
            python = bpy.path.abspath(self.python) if self.python else sys.executable
            _run = Child(
                [python, script, str(file)],
                clean_environment(),
                file.parent,
                user_folder("logs") / "setup.log",
            )
        except (ValueError, OSError) as error:
            self.report({"ERROR"}, f"The engine was not set up: {error}")
            return {"CANCELLED"}
        preferences(context).engine = "HERE"
        fraction, message = 0.0, "Starting"
        if not bpy.app.background:
            poller.follow(_step)
            return {"FINISHED"}
        _run.wait()
        _step()
        ready = engine_state() == setup_engine.READY
        self.report({"INFO" if ready else "ERROR"}, message)
        return {"FINISHED" if ready else "CANCELLED"}

    def _plan(self) -> setup_engine.Plan:
        wheels = bpy.path.abspath(self.wheels) if self.wheels else ""
        if wheels and not Path(wheels).is_dir():
            raise ValueError(f"there is no folder {wheels}: choose one with the wheels in it")
        if not wheels and (sentence := _offline()):
            raise ValueError(sentence)
        build = self._build()[0]
        return setup_engine.Plan(
            str(engine_folder()), build.name, build.index, engine_requirements(), build.disk_gib, wheels
        )

    def _build(self) -> tuple[Build, str]:
        found = machine(wait=True)
        assert found is not None
        return choose(found, self.kind)

    def _announcement(self) -> list[str]:
        if machine() is None:
            return ["Looking for a GPU..."]
        try:
            build, why = self._build()
        except ValueError as error:
            return [str(error)]
        source = "the folder of wheels" if self.wheels else f"{build.index or 'pypi.org'} and pypi.org"
        return [
            f"torch for {build.label}: {why}",
            f"From {source}, {build.disk_gib:.0f} GiB of disk while installing",
            f"Into {engine_folder()}",
        ]


class ID3D_OT_cancel_setup(bpy.types.Operator):
    """Stop setting up the engine; Set Up Engine goes on from here later"""

    bl_idname = "id3d.cancel_setup"
    bl_label = "Cancel"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not running():
            cls.poll_message_set("The engine is not being set up")
        return running()

    def execute(self, context: bpy.types.Context) -> set[str]:
        stop()
        return {"FINISHED"}


class ID3D_OT_remove_engine(bpy.types.Operator):
    """Delete the environment that Set Up Engine made; heads and identities stay"""

    bl_idname = "id3d.remove_engine"
    bl_label = "Remove Engine"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if running():
            cls.poll_message_set("The engine is being set up: cancel that first")
        elif engine_state() == setup_engine.ABSENT:
            cls.poll_message_set("There is no engine to remove")
        else:
            return True
        return False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        global message
        try:
            shutil.rmtree(engine_folder())
        except OSError as error:
            self.report({"ERROR"}, f"Not all of the engine could be deleted ({error}): close what uses it")
            return {"CANCELLED"}
        message = ""
        return {"FINISHED"}


CLASSES = (ID3D_OT_setup_engine, ID3D_OT_cancel_setup, ID3D_OT_remove_engine)


def _look() -> None:
    global _machine
    _machine = this_machine()


def _offline() -> str:
    """Why the network may not be used, and what to do; empty if it may."""
    if bpy.app.online_access:
        return ""
    if bpy.app.online_access_override:
        return "Blender was started offline: start it without --offline-mode, or choose a folder of wheels"
    return "Turn on Preferences, System, Network, Allow Online Access, or choose a folder of wheels"


def _step() -> bool:
    """Take over what the child said; True when it has ended."""
    global _run, fraction, message
    assert _run is not None
    for event in _run.events():
        step, steps, message = event["step"], event["steps"], event["message"]
        fraction = step / steps if steps else 0.0
    code = _run.poll()
    if code is None:
        return False
    ended, _run, fraction = _run, None, 0.0
    if code == 0:
        message = "The engine is set up"
        if not bpy.app.background:
            bpy.ops.id3d.check_engine("INVOKE_DEFAULT")
    elif ended.cancelled or code == CANCELLED:
        message = _STOPPED
    else:
        message = f"The engine was not set up: {ended.reason()} (log: {ended.log})"
    return True
