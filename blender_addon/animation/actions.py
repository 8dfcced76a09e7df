"""Whole animation curves of a head's sliders as an Action, by bulk writes.

Where an Action keeps its curves changed in Blender 4.4 (slots and channelbags) and the old place went
in 5.0; `_curves_of` is the only code that knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import bpy

# Frames (ascending) and the values at them.
Curve = tuple[Sequence[float], Sequence[float]]


def assign_action(
    head: bpy.types.Object, name: str, curves: Mapping[str, Curve], interpolation: str
) -> bpy.types.Action:
    """A new Action that moves the head's sliders, in place of the one that it had (`replace_action`).

    Args:
        head: Its shape keys are what is animated.
        name: Of the Action.
        curves: Shape key -> its keyframes.
        interpolation: LINEAR, or BEZIER for eased curves that do not overshoot.
    """
    keys = head.data.shape_keys
    action = bpy.data.actions.new(name)
    try:
        fcurves, slot = _curves_of(action, keys)
        for key, curve in curves.items():
            path = keys.key_blocks[key].path_from_id("value")
            _fill(fcurves.new(path), curve, interpolation)
    except BaseException:
        bpy.data.actions.remove(action)
        raise
    replace_action(head, action)
    if slot is not None:
        keys.animation_data.action_slot = slot
    return action


def replace_action(head: bpy.types.Object, action: bpy.types.Action | None) -> None:
    """Give the head's sliders another Action or none.

    The former one stays in the file, with a fake user if it has no other.
    """
    animation = head.data.shape_keys.animation_data_create()
    former = animation.action
    animation.action = action
    if former is not None and former.users == 0:
        former.use_fake_user = True


def _curves_of(action: bpy.types.Action, keys: bpy.types.Key):
    """The collection for a new Action's curves and, where there are such, the slot of `keys`."""
    if bpy.app.version < (4, 4, 0):
        action.id_root = "KEY"
        return action.fcurves, None
    slot = action.slots.new(id_type="KEY", name=keys.name)
    strip = action.layers.new("Layer").strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves, slot


def _fill(fcurve: bpy.types.FCurve, curve: Curve, interpolation: str) -> None:
    frames, values = curve
    count = len(frames)
    points = fcurve.keyframe_points
    points.add(count)
    points.foreach_set("co", [number for point in zip(frames, values, strict=True) for number in point])
    points.foreach_set("interpolation", [_number("interpolation", interpolation)] * count)
    for side in ("handle_left_type", "handle_right_type"):
        points.foreach_set(side, [_number(side, "AUTO_CLAMPED")] * count)
    fcurve.update()


def _number(choice: str, item: str) -> int:
    # foreach_set takes enums as their numbers.
    return bpy.types.Keyframe.bl_rna.properties[choice].enum_items[item].value
