"""How the preferences look: the engine and its problems, folders, support."""

from __future__ import annotations

from pathlib import Path

import bpy

from .folder_sizes import size_text
from .operators import check_engine, setup_engine
from .preferences import (
    ID3D_AP_preferences,
    engine_folder,
    engine_problem,
    engine_state,
    heads_folder,
    identities_folder,
    user_folder,
)
from .sentences import write
from .setup_engine import ABSENT, PARTIAL, READY, installed


def draw_preferences(self: ID3D_AP_preferences, context: bpy.types.Context) -> None:
    """The body of `ID3D_AP_preferences.draw`."""
    layout = self.layout
    layout.use_property_split = True
    layout.use_property_decorate = False
    box = layout.box()
    box.row().prop(self, "engine", expand=True)
    {"HERE": _here, "PYTHON": _python, "REMOTE": _remote}[self.engine](self, box)
    draw_problem(context, box)
    _check(box)
    box = layout.box()
    box.prop(self, "heads")
    _folder(box, "Heads", heads_folder(context))
    _folder(box, "Identities (no photos)", identities_folder()).operator(
        "id3d.delete_identities", icon="TRASH"
    )
    box = layout.box()
    box.prop(self, "log_level")
    row = box.row()
    row.operator("wm.path_open", text="Open Logs", icon="TEXT").filepath = str(user_folder("logs"))
    row.operator("id3d.copy_diagnostics", icon="COPYDOWN")


def draw_problem(context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
    """Why there is no engine, with the button that helps or its progress; nothing if there is one."""
    if setup_engine.running():
        layout.progress(factor=setup_engine.fraction, text=setup_engine.message)
        layout.operator("id3d.cancel_setup", icon="CANCEL")
        return
    problem = engine_problem(context)
    if problem is None:
        return
    setup_engine.machine()  # look for a GPU while the artist reads
    sentence, operator = problem
    column = layout.column()
    column.alert = True
    write(column, sentence, "ERROR")
    column.alert = False
    column.operator(operator)


def _here(self: ID3D_AP_preferences, layout: bpy.types.UILayout) -> None:
    layout.prop(self, "device")
    layout.prop(self, "prior")
    layout.prop(self, "compile")
    if engine_state() == READY:
        record = installed(engine_folder())
        row = layout.row()
        row.label(text=f"torch {record['build']}, Python {record['python']}: {size_text(engine_folder())}")
        row.operator("id3d.remove_engine", icon="TRASH")
    elif engine_state() not in (ABSENT, PARTIAL):
        layout.operator("id3d.remove_engine", icon="TRASH")
    if setup_engine.message and not setup_engine.running():
        write(layout, setup_engine.message)


def _python(self: ID3D_AP_preferences, layout: bpy.types.UILayout) -> None:
    layout.prop(self, "python")
    layout.prop(self, "device")
    layout.prop(self, "prior")
    layout.prop(self, "compile")


def _remote(self: ID3D_AP_preferences, layout: bpy.types.UILayout) -> None:
    layout.prop(self, "address")
    layout.prop(self, "key")
    layout.prop(self, "send_photos")
    if not self.send_photos:
        write(layout, "Photos stay here: a local engine, set up here or named below, reads them", "LOCKED")
        layout.prop(self, "python")


def _check(layout: bpy.types.UILayout) -> None:
    layout.operator("id3d.check_engine", icon="CHECKMARK")
    for line in check_engine.lines:
        write(layout, line)


def _folder(layout: bpy.types.UILayout, name: str, folder: Path) -> bpy.types.UILayout:
    row = layout.row()
    row.label(text=f"{name}: {size_text(folder)}")
    row.operator("wm.path_open", text="Open Folder", icon="FILE_FOLDER").filepath = str(folder)
    return row
