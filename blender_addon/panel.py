"""The tab in the 3D view's sidebar."""

from __future__ import annotations

import bpy

from .operators.generate_head import running


class ID3D_UL_photos(bpy.types.UIList):
    """One row a photo: its file name."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0) -> None:
        layout.label(text=bpy.path.basename(item.path), icon="IMAGE_DATA")


class ID3D_PT_main(bpy.types.Panel):
    """Photos, settings, the button, and the progress of a running job."""

    bl_label = "ID3D"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ID3D"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        settings = context.scene.id3d

        layout.label(text="Photos of one person")
        row = layout.row()
        row.template_list("ID3D_UL_photos", "", settings, "photos", settings, "active_photo", rows=3)
        buttons = row.column(align=True)
        buttons.operator("id3d.add_photos", icon="ADD", text="")
        buttons.operator("id3d.remove_photo", icon="REMOVE", text="")

        column = layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop(settings, "text")
        column.prop(settings, "preset")
        column.prop(settings, "seed")

        if running():
            progress = context.window_manager.id3d
            layout.progress(factor=progress.fraction, text=progress.text)
            layout.operator("id3d.cancel", icon="CANCEL")
        else:
            button = layout.row()
            button.scale_y = 1.5
            button.enabled = len(settings.photos) > 0
            operator = button.operator("id3d.generate_head", icon="USER")
            operator.text, operator.preset, operator.seed = settings.text, settings.preset, settings.seed
            layout.operator("id3d.import_head", icon="IMPORT")


CLASSES = (ID3D_UL_photos, ID3D_PT_main)
