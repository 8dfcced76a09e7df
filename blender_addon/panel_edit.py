"""The panel "Change by Text": a new head from the active one and a text."""

from __future__ import annotations

import bpy

from .heads import active_head
from .operators.edit_head import problem
from .sentences import sidebar_letters, write


class ID3D_PT_edit(bpy.types.Panel):
    """A text, what it may change, and the button; preset, seed and device are those above."""

    bl_label = "Change by Text"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ID3D"
    bl_order = 5
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_head(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.id3d
        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "change")
        column.row().prop(settings, "target", expand=True)
        if len(settings.photos) > 0:
            column.prop(settings, "same_person")
        if sentence := problem(context):
            write(layout.column(align=True), sentence, "INFO", sidebar_letters(context))
        button = layout.row()
        button.scale_y = 1.5
        button.enabled = bool(settings.change.strip())
        operator = button.operator("id3d.edit_head", icon="FILE_TEXT")
        operator.text, operator.target = settings.change, settings.target
        operator.preset, operator.seed = settings.preset, settings.seed
        if settings.same_person:
            operator.photos = "\n".join(photo.path for photo in settings.photos)


CLASSES = (ID3D_PT_edit,)
