"""The panel "Export": the active head for other programs and for the Asset Browser."""

from __future__ import annotations

import bpy

from .heads import active_head


class ID3D_PT_export(bpy.types.Panel):
    """Files for other programs, and the Asset Browser."""

    bl_label = "Export"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ID3D"
    bl_order = 30
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        row = self.layout.row(align=True)
        for kind, label in (("glb", "glTF"), ("fbx", "FBX"), ("usd", "USD")):
            row.operator("id3d.export_head", text=label).format = kind
        head = active_head(context)
        if head is not None and head.asset_data is not None:
            self.layout.operator("id3d.clear_asset", icon="X")
        else:
            self.layout.operator("id3d.mark_asset", icon="ASSET_MANAGER")


CLASSES = (ID3D_PT_export,)
