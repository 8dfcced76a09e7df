"""The tab in the 3D view's sidebar: photos, settings, the button, the running job, earlier heads."""

from __future__ import annotations

import bpy

from . import history, job, pictures
from .preferences import engine_problem, preferences
from .preferences_ui import draw_problem
from .sentences import sidebar_letters, write

_ICONS = {
    job.DONE: "CHECKMARK",
    job.READY: "IMPORT",
    job.STOPPED: "PAUSE",
    job.FAILED: "ERROR",
}


class ID3D_UL_photos(bpy.types.UIList):
    """One row a photo: a small picture and its file name."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0) -> None:
        name = bpy.path.basename(item.path)
        if name.lower().endswith(".id"):
            layout.label(text=name.removesuffix(".id"), icon="USER")
        else:
            layout.label(text=name, icon_value=pictures.icon(bpy.path.abspath(item.path)))


class _Part:
    """Where all of it is."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ID3D"


class ID3D_PT_main(_Part, bpy.types.Panel):
    """Photos, settings, the button, and the progress of a running job."""

    bl_label = "Head from ID"
    bl_order = 0

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        settings = context.scene.id3d
        if job.current is None and engine_problem(context) is not None:
            draw_problem(context, layout)
        if job.current is not None:
            _running(layout, job.current, sidebar_letters(context))
            return
        _photos(layout, settings)

        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "text")
        column.prop(settings, "preset")
        column.prop(settings, "topology")
        column.prop(settings, "seed")
        column.prop(preferences(context), "device")
        column.prop(settings, "all_expressions")
        if not settings.all_expressions:
            layout.grid_flow(columns=2, align=True).prop(settings, "chosen")

        button = layout.row()
        button.scale_y = 1.5
        button.enabled = len(settings.photos) > 0
        operator = button.operator("id3d.generate_head", icon="USER")
        operator.text, operator.preset, operator.seed = settings.text, settings.preset, settings.seed
        operator.expressions, operator.topology = settings.expressions(), settings.topology
        if job.last is not None:
            _outcome(layout, job.last, sidebar_letters(context))
        layout.operator("id3d.import_head", icon="IMPORT")


class ID3D_PT_history(_Part, bpy.types.Panel):
    """Stopped jobs and finished heads."""

    bl_label = "Earlier Heads"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 (Blender's own convention)
    bl_order = 90

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        found = history.found(context)
        for request in found.stopped:
            row = layout.row(align=True)
            row.label(text=f"{request.name}, stopped", icon="PAUSE")
            row.operator("id3d.resume").out = request.out
            row.operator("id3d.discard", text="", icon="TRASH").out = request.out
        for made in found.heads:
            request = made.request
            box = layout.box()
            row = box.row()
            row.template_icon(pictures.icon(str(made.preview)), scale=3.0)
            column = row.column(align=True)
            column.label(text=request.name)
            column.label(text=f"{request.preset}, seed {request.seed}")
            if request.text:
                column.label(text=request.text)
            buttons = row.column(align=True)
            _add_button(buttons, "", request.out)
            buttons.operator("id3d.again", text="", icon="FILE_REFRESH").head = request.out
        if not found.heads and not found.stopped:
            layout.label(text="None yet")


CLASSES = (ID3D_UL_photos, ID3D_PT_main, ID3D_PT_history)


def _photos(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    layout.label(text="Photos of one person: drop them here")
    row = layout.row()
    row.template_list("ID3D_UL_photos", "", settings, "photos", settings, "active_photo", rows=3)
    buttons = row.column(align=True)
    buttons.operator("id3d.add_photos", icon="ADD", text="")
    buttons.operator("id3d.remove_photo", icon="REMOVE", text="")
    buttons.menu("ID3D_MT_identities", icon="USER", text="")
    if 0 <= settings.active_photo < len(settings.photos):
        path = bpy.path.abspath(settings.photos[settings.active_photo].path)
        if not path.lower().endswith(".id"):
            layout.template_icon(pictures.icon(path), scale=5.0)


def _running(layout: bpy.types.UILayout, running: job.Job, letters: int) -> None:
    """The job instead of the settings, which it no longer listens to."""
    box = layout.box()
    box.label(text=running.request.name, icon="USER")
    if running.preview:
        box.template_icon(pictures.icon(running.preview, running.previews), scale=9.0)
    box.progress(factor=running.fraction, text=running.line)
    for sentence in running.notes:
        write(box.column(align=True), sentence, "INFO", letters)
    button = box.row()
    button.scale_y = 1.5
    button.operator("id3d.cancel", icon="CANCEL")


def _outcome(layout: bpy.types.UILayout, outcome: job.Outcome, letters: int) -> None:
    box = layout.box()
    row = box.row()
    write(row.column(align=True), outcome.sentence, _ICONS[outcome.kind], letters - 4)
    row.operator("id3d.dismiss", text="", icon="X", emboss=False)
    buttons = box.row(align=True)
    request = outcome.request
    if outcome.kind == job.READY and request is not None:
        _add_button(buttons, "Add to Scene", request.out, request.head)
    if outcome.resumable and request is not None:
        buttons.operator("id3d.resume", icon="PLAY").out = request.out
        buttons.operator("id3d.discard", icon="TRASH").out = request.out
    if outcome.fix:
        buttons.operator(outcome.fix)
    if outcome.kind == job.FAILED and outcome.log is not None:
        buttons.operator("id3d.open_log", icon="TEXT")


def _add_button(layout: bpy.types.UILayout, text: str, head: str, instead_of: str = "") -> None:
    row = layout.row(align=True)
    row.operator_context = "EXEC_DEFAULT"  # it is known which head: no file browser
    operator = row.operator("id3d.import_head", text=text, icon="IMPORT")
    operator.directory, operator.instead_of = head, instead_of
