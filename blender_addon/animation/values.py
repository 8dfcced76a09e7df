"""Slider values of a head: neutral, mirrored, or between two expressions."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from ..heads import expression_keys


def neutral(head: bpy.types.Object) -> dict[str, float]:
    """Every key at 0."""
    return {key.name: 0.0 for key in expression_keys(head)}


def mirrored(head: bpy.types.Object) -> dict[str, float]:
    """Left and right swapped, by Blender's own rule for names (mouthSmileLeft, jaw_left, x.L, ...).

    Keys without a counterpart are left out.
    """
    now = {key.name: key.value for key in expression_keys(head)}
    other = {name: bpy.utils.flip_name(name) for name in now}
    return {name: now[other[name]] for name in now if other[name] != name and other[name] in now}


def blended(first: str, second: str, factor: float) -> dict[str, float]:
    """`first` at 1 - factor and `second` at factor."""
    return {first: 1.0 - factor, second: factor}


def write(head: bpy.types.Object, values: Mapping[str, float], scene: bpy.types.Scene) -> None:
    """Set the sliders; with Blender's auto keying on, also key those that changed, as dragging would."""
    for name, value in values.items():
        key = head.data.shape_keys.key_blocks[name]
        if key.value == value:
            continue
        key.value = value
        if scene.tool_settings.use_keyframe_insert_auto:
            key.keyframe_insert("value", frame=scene.frame_current_final)
