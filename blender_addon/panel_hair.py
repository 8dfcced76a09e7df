"""The panel "Hair": what the active head has, shown or hidden."""

from __future__ import annotations

import bpy

from ..id3d_engine.blender_scene.hair import hair_of
from .heads import active_head


class ID3D_PT_hair(bpy.types.Panel):
    """One row an object of hair, with Blender's own switches, and deleting it all."""

    bl_label = "Hair"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ID3D"
    bl_order = 15
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = active_head(context)
        return head is not None and bool(hair_of(head))

    def draw(self, context: bpy.types.Context) -> None:
        for part in hair_of(active_head(context)):
            row = self.layout.row(align=True)
            row.label(text=part.name, icon="CURVES_DATA")
            row.prop(part, "hide_viewport", text="", emboss=False)
            row.prop(part, "hide_render", text="", emboss=False)
        self.layout.operator("id3d.delete_head", icon="TRASH")


CLASSES = (ID3D_PT_hair,)
