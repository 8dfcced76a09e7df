"""Ask the engine itself whether it is complete."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import bpy

from .. import poller
from ..engine import run_doctor
from ..preferences import engine_problem, engine_python, user_folder

# For drawing and for diagnostics: the last answer, as lines, and the report that they come from.
lines: list[str] = []
report: dict[str, Any] = {}
_checking: threading.Thread | None = None


def checking() -> bool:
    """Whether an answer is being waited for."""
    return _checking is not None


class ID3D_OT_check_engine(bpy.types.Operator):
    """Start the engine once and say what it lacks"""

    bl_idname = "id3d.check_engine"
    bl_label = "Check the Engine"
    bl_options = {"REGISTER"}  # noqa: RUF012 (Blender's own convention)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if checking():
            cls.poll_message_set("The engine is being checked")
        elif not engine_python(context):
            cls.poll_message_set("A remote engine is checked by using it: there is no local one")
        else:
            return True
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not self._start(context):
            return {"CANCELLED"}
        assert _checking is not None
        _checking.join()
        _finish()
        complete = bool(report) and report["ok"]
        for line in lines:
            self.report({"INFO" if complete else "ERROR"}, line)
        return {"FINISHED" if complete else "CANCELLED"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self._start(context):
            return {"CANCELLED"}
        poller.follow(_finish)
        return {"FINISHED"}

    def _start(self, context: bpy.types.Context) -> bool:
        global _checking
        if problem := engine_problem(context):
            self.report({"ERROR"}, problem[0])
            return False
        lines[:] = ["Checking..."]
        arguments = (engine_python(context), user_folder("cache"))
        _checking = threading.Thread(target=_ask, args=arguments, daemon=True)
        _checking.start()
        return True


CLASSES = (ID3D_OT_check_engine,)


def detach() -> None:
    """Wait for no answer any more; the engine that is asked ends by itself."""
    global _checking
    if _checking is not None:
        _checking = None
        lines.clear()


def _ask(python: str, cache: Any) -> None:
    global report
    try:
        answer = run_doctor(python, cache)
        told = _in_words(answer)
    except (OSError, subprocess.TimeoutExpired) as error:
        answer = {}
        told = [
            f"{python} does not run the engine ({error}): run `pip install id3d-engine` with it, "
            "or choose another Python"
        ]
    if threading.current_thread() is _checking:
        report, lines[:] = answer, told


def _in_words(answer: dict[str, Any]) -> list[str]:
    missing = [check for check in answer["checks"] if check["required"] and not check["ok"]]
    device = next((check["text"] for check in answer["checks"] if check["name"] == "device"), "")
    return [f"{check['name']}: {check['text']}; {check['fix']}" for check in missing] or [
        f"Engine {answer['version']} is complete (Python {answer['python']}; {device})"
    ]


def _finish() -> bool:
    global _checking
    if _checking is not None and not _checking.is_alive():
        _checking = None
    return _checking is None
