"""Ask the engine itself whether it is complete."""

from __future__ import annotations

import json
import subprocess

import bpy

from ..engine import run_doctor
from ..preferences import engine_python, user_folder


class ID3D_OT_check_engine(bpy.types.Operator):
    """Start the engine once and say what it lacks"""

    bl_idname = "id3d.check_engine"
    bl_label = "Check the Engine"

    def execute(self, context: bpy.types.Context) -> set[str]:
        python = engine_python(context)
        try:
            report = run_doctor(python, user_folder("cache"))
        except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
            self.report(
                {"ERROR"},
                f"{python} does not run the engine ({error}): run `pip install id3d-engine` with it, "
                "or choose another Python",
            )
            return {"CANCELLED"}
        missing = [check for check in report["checks"] if check["required"] and not check["ok"]]
        for check in missing:
            self.report({"ERROR"}, f"{check['name']}: {check['text']}; {check['fix']}")
        if missing:
            return {"CANCELLED"}
        self.report({"INFO"}, f"Engine {report['version']} is complete (Python {report['python']})")
        return {"FINISHED"}


CLASSES = (ID3D_OT_check_engine,)
