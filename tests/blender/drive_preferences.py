"""Runs in a process of its own: the engine's set-up and the preferences' buttons, in a fresh profile.

    python drive_preferences.py ZIP WHEELS

ZIP's list of packages is one small package, which is in WHEELS. Facts go out as the last line, JSON.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import bpy

ZIP, WHEELS = sys.argv[1:]
EXTENSION = "bl_ext.user_default.id3d"
facts: dict = {}


def attempt(action, **arguments) -> str:
    """What an operator answers, or the text that a script sees when it fails."""
    try:
        return sorted(action(**arguments))[0]
    except RuntimeError as error:
        return str(error)


bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.extensions.package_install_files(filepath=ZIP, repo="user_default", enable_on_install=True)
questions = importlib.import_module(f"{EXTENSION}.blender_addon.preferences")
context = bpy.context
chosen = context.preferences.addons[EXTENSION].preferences

facts["at_first"] = questions.engine_problem(context)
facts["offline"] = attempt(bpy.ops.id3d.setup_engine)
facts["no_wheels"] = attempt(bpy.ops.id3d.setup_engine, wheels="/nowhere")
facts["wrong_build"] = attempt(bpy.ops.id3d.setup_engine, wheels=WHEELS, kind="mps")
facts["nothing_to_remove"] = attempt(bpy.ops.id3d.remove_engine)
facts["not_running"] = attempt(bpy.ops.id3d.cancel_setup)
facts["set_up"] = attempt(bpy.ops.id3d.setup_engine, wheels=WHEELS, kind="cpu")
facts["problem"] = questions.engine_problem(context)
facts["command"] = questions.engine_command(context)
facts["inside"] = Path(questions.engine_python(context)).is_relative_to(questions.engine_folder())
facts["answer"] = subprocess.run(
    [questions.engine_python(context), "-c", "import small; print(small.answer)"],
    capture_output=True, text=True, check=False,
).stdout.strip()  # fmt: skip
facts["check"] = attempt(bpy.ops.id3d.check_engine)

chosen.python = "/nowhere/python"
facts["own"] = [chosen.engine, questions.engine_problem(context)]
chosen.python = sys.executable
chosen.prior = "/models/mine"
facts["own_prior"] = questions.engine_options(context)
chosen.compile = True
facts["compiled"] = questions.engine_options(context)
facts["own_command"] = questions.engine_command(context) == [sys.executable, "-m", "id3d_engine"]
chosen.engine = "REMOTE"
facts["remote"] = questions.engine_problem(context)
chosen.address, chosen.key, chosen.device, chosen.log_level = "https://example.org", "secret", "cpu", "DEBUG"
facts["remote_command"] = questions.engine_command(context)[-2:]
facts["remote_environment"] = questions.engine_environment(context)
facts["options"] = questions.engine_options(context)
chosen.send_photos = True
facts["options_with_photos"] = questions.engine_options(context)

kept = questions.identities_folder() / "anna.id"
facts["nothing_to_delete"] = attempt(bpy.ops.id3d.delete_identities)
kept.write_bytes(b"numbers")
facts["delete"] = [attempt(bpy.ops.id3d.delete_identities), kept.exists()]

log = questions.user_folder("logs") / "head-001.log"
log.write_text(f"id3d: {Path.home()}/photos/me.jpg is damaged\n")
facts["copy"] = attempt(bpy.ops.id3d.copy_diagnostics)
facts["diagnostics"] = (log.parent / "diagnostics.txt").read_text()
facts["home"] = str(Path.home())

chosen.engine = "HERE"
facts["remove"] = [attempt(bpy.ops.id3d.remove_engine), questions.engine_state()]
print(json.dumps(facts))
