"""One turn of a camera around a head: an empty in its middle that turns, and a camera on it."""

from __future__ import annotations

from math import tau

import bpy
from mathutils import Quaternion, Vector

from ..id3d_engine.blender_scene.stage import place_around
from . import own_collection
from .lighting import Place, place_of

NAME = "ID3D Turntable"

_START, _FRAMES = "id3d_turntable_start", "id3d_turntable_frames"  # custom properties of the collection
_LENS_MM, _FILL = 85.0, 0.75  # the head's height over the picture's


def add_turntable(
    head: bpy.types.Object, scene: bpy.types.Scene, frames: int
) -> tuple[bpy.types.Collection, bpy.types.Object]:
    """Add the turntable, in place of the one that was there; it starts at the scene's first frame.

    The turn goes on for ever at the same pace, so that `frames` frames are a loop without a seam.

    Args:
        head: The camera goes around it, at the height of its middle, and begins in front of the face.
        scene: Gets a collection with everything in it; its own camera stays the one in use.
        frames: Of one turn.

    Returns:
        The collection and the camera.
    """
    remove_turntable(scene)
    collection = bpy.data.collections.new(NAME)
    collection[_START], collection[_FRAMES] = scene.frame_start, frames
    scene.collection.children.link(collection)
    place = place_of(head)
    centre = bpy.data.objects.new(NAME, None)
    centre.location, centre.empty_display_size = place.centre, place.height / 4
    collection.objects.link(centre)
    camera = _camera(place, scene, collection)
    camera.parent = centre
    _turn(centre, scene.frame_start, frames)
    return collection, camera


def turntable_of(scene: bpy.types.Scene) -> tuple[bpy.types.Object, int, int] | None:
    """The turntable's camera, its first frame and its number of frames, or None."""
    found = own_collection.find(scene, _FRAMES)
    if found is None:
        return None
    camera = next((thing for thing in found.objects if thing.type == "CAMERA"), None)
    return None if camera is None else (camera, found[_START], found[_FRAMES])


def remove_turntable(scene: bpy.types.Scene) -> bool:
    """Take it away; False if there is none."""
    found = own_collection.find(scene, _FRAMES)
    if found is None:
        return False
    own_collection.remove(scene, found, {"CAMERA", "EMPTY"})
    return True


def _camera(place: Place, scene: bpy.types.Scene, collection: bpy.types.Collection) -> bpy.types.Object:
    data = bpy.data.cameras.new(f"{NAME} Camera")
    data.lens, data.sensor_fit = _LENS_MM, "VERTICAL"
    # Whatever the picture's shape, the head fills the same part of its shorter side.
    shorter = min(1.0, scene.render.resolution_x / scene.render.resolution_y)
    distance = place.height / _FILL / shorter * data.lens / data.sensor_height
    data.clip_start = distance / 100
    camera = bpy.data.objects.new(data.name, data)
    # Relative to the empty, which stands upright: only the heading of the head counts.
    heading = Quaternion((0.0, 0.0, 1.0), place.turn.to_euler().z)
    return place_around(camera, Vector(), 0.0, 0.0, distance, collection, heading)


def _turn(centre: bpy.types.Object, start: int, frames: int) -> None:
    for frame, angle in ((start, 0.0), (start + frames, tau)):
        centre.rotation_euler.z = angle
        centre.keyframe_insert("rotation_euler", index=2, frame=frame)
    centre.rotation_euler.z = 0.0
    for curve in _curves(centre.animation_data.action):
        curve.extrapolation = "LINEAR"
        for point in curve.keyframe_points:
            point.interpolation = "LINEAR"


def _curves(action: bpy.types.Action) -> list[bpy.types.FCurve]:
    if bpy.app.version < (4, 4, 0):
        return list(action.fcurves)
    strip = action.layers[0].strips[0]
    return [curve for bag in strip.channelbags for curve in bag.fcurves]
