"""The preferences' smaller buttons: diagnostics, kept identities, the way to the preferences."""

from __future__ import annotations

import bpy

from .. import diagnostics
from ..preferences import engine_state, extension, identities_folder, preferences, user_folder
from . import check_engine


class ID3D_OT_copy_diagnostics(bpy.types.Operator):
    """Copy versions, settings and the last log, without names and photos, for a report of a problem"""

    bl_idname = "id3d.copy_diagnostics"
    bl_label = "Copy Diagnostics"
    bl_options = {"REGISTER"}  # noqa: RUF012 (Blender's own convention)

    def execute(self, context: bpy.types.Context) -> set[str]:
        chosen = preferences(context)
        facts = {
            "extension": extension,
            "Blender": f"{bpy.app.version_string} ({bpy.app.build_hash.decode()})",
            "engine": f"{chosen.engine} ({engine_state()})" if chosen.engine == "HERE" else chosen.engine,
            "device": chosen.device,
            "prior": "of one's own" if chosen.prior else "starter",
            "log": chosen.log_level,
            "online access": bpy.app.online_access,
        }
        logs = user_folder("logs")
        newest = max(logs.glob("*.log"), key=lambda path: path.stat().st_mtime, default=None)
        report = diagnostics.text(facts, check_engine.report, newest)
        context.window_manager.clipboard = report
        (logs / "diagnostics.txt").write_text(report, encoding="utf-8")
        self.report({"INFO"}, "Diagnostics are in the clipboard, and in diagnostics.txt beside the logs")
        return {"FINISHED"}


class ID3D_OT_delete_identities(bpy.types.Operator):
    """Delete all identities that were kept; heads stay, photos were never kept"""

    bl_idname = "id3d.delete_identities"
    bl_label = "Delete Identities"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        kept = any(identities_folder().iterdir())
        if not kept:
            cls.poll_message_set("No identity was kept")
        return kept

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        files = [path for path in identities_folder().rglob("*") if path.is_file()]
        try:
            for path in files:
                path.unlink()
        except OSError as error:
            self.report({"ERROR"}, f"{error.filename} could not be deleted: close what uses it")
            return {"CANCELLED"}
        self.report({"INFO"}, f"{len(files)} deleted")
        return {"FINISHED"}


class ID3D_OT_show_preferences(bpy.types.Operator):
    """Open ID3D's preferences"""

    bl_idname = "id3d.show_preferences"
    bl_label = "ID3D's Preferences"
    bl_options = {"INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if bpy.app.background:
            cls.poll_message_set("There is no window in background")
        return not bpy.app.background

    def execute(self, context: bpy.types.Context) -> set[str]:
        return bpy.ops.preferences.addon_show(module=extension)


CLASSES = (ID3D_OT_copy_diagnostics, ID3D_OT_delete_identities, ID3D_OT_show_preferences)
