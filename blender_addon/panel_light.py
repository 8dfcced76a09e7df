"""The panel "Light": set-ups around the active head, and the turntable."""

from __future__ import annotations

import bpy

from .lighting import SETUPS, setup_of
from .turntable import turntable_of


class ID3D_PT_light(bpy.types.Panel):
    """Four set-ups, one click each, and a turn around the head."""

    bl_label = "Light"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ID3D"
    bl_order = 20
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        layout, current = self.layout, setup_of(context.scene)
        grid = layout.grid_flow(columns=2, even_columns=True, align=True)
        for key, setup in SETUPS.items():
            button = grid.operator("id3d.light", text=setup.label, depress=key == current)
            button.setup = key
        layout.operator("id3d.remove_light", icon="X")

        turntable = layout.column(align=True)
        turntable.operator("id3d.add_turntable", icon="CON_FOLLOWPATH")
        if turntable_of(context.scene) is not None:
            turntable.operator("id3d.render_turntable", icon="RENDER_ANIMATION")
            turntable.operator("id3d.remove_turntable", icon="X")


CLASSES = (ID3D_PT_light,)
