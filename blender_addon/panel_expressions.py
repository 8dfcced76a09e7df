"""The panel "Expressions": sliders of the active head, and what animates them."""

from __future__ import annotations

import bpy

from .animation.names import REGIONS, region
from .heads import active_head, expression_keys


class _HeadPanel:
    """A part of the ID3D tab that is there while a head is active."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "ID3D"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return active_head(context) is not None


class ID3D_PT_expressions(_HeadPanel, bpy.types.Panel):
    """Sliders of the favourites."""

    bl_label = "Expressions"
    bl_order = 10

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        keys = {key.name: key for key in expression_keys(active_head(context))}
        row = layout.row(align=True)
        row.operator("id3d.reset_expressions", icon="LOOP_BACK")
        row.operator("id3d.mirror_expressions", icon="MOD_MIRROR")
        names = [name for name in context.scene.id3d_expressions.names() if name in keys]
        _sliders(layout, [keys[name] for name in names], "SOLO_ON")
        if not names:
            layout.label(text="Stars below add favourites")


class ID3D_PT_expressions_all(_HeadPanel, bpy.types.Panel):
    """Sliders of all other shape keys, by region."""

    bl_label = "More Expressions"
    bl_parent_id = "ID3D_PT_expressions"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        favourites = context.scene.id3d_expressions.names()
        groups: dict[str, list[bpy.types.ShapeKey]] = {title: [] for title in (*REGIONS.values(), "Other")}
        for key in expression_keys(active_head(context)):
            if key.name not in favourites:
                groups[region(key.name) or "Other"].append(key)
        for title, keys in groups.items():
            if keys:
                header, body = self.layout.panel(f"id3d_{title}", default_closed=True)
                header.label(text=title)
                if body:
                    _sliders(body, keys, "SOLO_OFF")


class ID3D_PT_expressions_blend(_HeadPanel, bpy.types.Panel):
    """From one expression to another with one slider."""

    bl_label = "Blend"
    bl_parent_id = "ID3D_PT_expressions"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        settings, keys = context.scene.id3d_expressions, active_head(context).data.shape_keys
        column = self.layout.column()
        column.use_property_split = True
        column.use_property_decorate = False
        column.prop_search(settings, "first", keys, "key_blocks")
        column.prop_search(settings, "second", keys, "key_blocks")
        column.prop(settings, "factor", slider=True)


class ID3D_PT_animation(_HeadPanel, bpy.types.Panel):
    """Keyframes, recordings, and the Action in use."""

    bl_label = "Animation"
    bl_parent_id = "ID3D_PT_expressions"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        animation = active_head(context).data.shape_keys.animation_data
        row = layout.row(align=True)
        row.operator("id3d.key_expressions", icon="KEY_HLT")
        row.operator_menu_enum("id3d.key_expressions", "which", text="", icon="DOWNARROW_HLT")
        layout.operator("id3d.import_live_link", icon="IMPORT")
        layout.operator("id3d.example_animation", icon="PLAY")
        if animation is not None:
            layout.template_ID(animation, "action", unlink="id3d.remove_animation")


CLASSES = (ID3D_PT_expressions, ID3D_PT_expressions_all, ID3D_PT_expressions_blend, ID3D_PT_animation)


def _sliders(layout: bpy.types.UILayout, keys: list[bpy.types.ShapeKey], star: str) -> None:
    column = layout.column(align=True)
    for key in keys:
        row = column.row(align=True)
        row.prop(key, "value", text=key.name, slider=True)
        row.operator("id3d.toggle_favourite", text="", icon=star).name = key.name
