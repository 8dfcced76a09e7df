"""Which object is a head: the one test that panels and operators share."""

from __future__ import annotations

import bpy

_MARK = "id3d_schema"  # one of the custom properties that every head gets when it is built


def is_head(thing: bpy.types.Object | None) -> bool:
    """Whether `thing` was made by ID3D and still has its shape keys."""
    return thing is not None and thing.type == "MESH" and thing.data.shape_keys is not None and _MARK in thing


def active_head(context: bpy.types.Context) -> bpy.types.Object | None:
    """The active object if it is a head."""
    thing = context.view_layer.objects.active
    return thing if is_head(thing) else None


def why_not(context: bpy.types.Context, task: str) -> str:
    """Why nothing can be done to the active head itself ("delete", "mark"); empty if it can."""
    head = active_head(context)
    if head is None:
        return "Select a head first"
    if head.library is not None:
        return f"This head is linked: {task} it in its own file"
    return "" if context.mode == "OBJECT" else "Switch to Object Mode first"


def expression_keys(head: bpy.types.Object) -> list[bpy.types.ShapeKey]:
    """The head's shape keys in their order, without the neutral one."""
    keys = head.data.shape_keys
    return [block for block in keys.key_blocks if block != keys.reference_key]
