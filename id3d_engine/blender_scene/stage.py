"""A portrait camera and three soft lights around a head at the origin."""

from __future__ import annotations

from math import cos, radians, sin

import bpy
from mathutils import Quaternion, Vector

from .hair import bounds

# name, direction from the face as azimuth (positive = the head's left) and elevation, distance, size, watts
_LIGHTS = (
    ("Key", 40.0, 30.0, 1.0, 0.6, 14.0),
    ("Fill", -55.0, 5.0, 1.2, 1.0, 4.0),
    ("Rim", 160.0, 35.0, 1.0, 0.4, 5.0),
)
_WORLD = (0.05, 0.05, 0.055)


def build_stage(head: bpy.types.Object, scene: bpy.types.Scene) -> bpy.types.Collection:
    """Camera (85 mm, in front) and lights, in a collection `ID3D Stage` that may be deleted as a whole.

    Makes the camera the scene's, sets a square picture, lets strands have their own width and, if the scene
    has no world, makes a dim one.
    """
    collection = bpy.data.collections.new("ID3D Stage")
    scene.collection.children.link(collection)
    low, high = bounds(head)
    centre, height = (low + high) / 2, high.z - low.z

    data = bpy.data.cameras.new("ID3D Camera")
    data.lens = 85.0
    # The head's height fills four fifths of the picture.
    distance = height / 0.8 * data.lens / data.sensor_width
    camera = place_around(bpy.data.objects.new("ID3D Camera", data), centre, 0.0, 0.0, distance, collection)
    data.clip_start = 0.01
    scene.camera = camera
    scene.render.resolution_x = scene.render.resolution_y = 1024
    scene.render.hair_type = "STRIP"  # else EEVEE draws each strand a pixel wide, and brows as bars

    for name, azimuth, elevation, reach, size, watts in _LIGHTS:
        light = bpy.data.lights.new(f"ID3D {name}", "AREA")
        light.size, light.energy = size, watts
        place_around(
            bpy.data.objects.new(f"ID3D {name}", light), centre, azimuth, elevation, reach, collection
        )
    if scene.world is None:
        scene.world = new_world("ID3D World", _WORLD)
    return collection


def place_around(
    thing: bpy.types.Object,
    target: Vector,
    azimuth_deg: float,
    elevation_deg: float,
    distance_m: float,
    collection: bpy.types.Collection,
    turn: Quaternion | None = None,
) -> bpy.types.Object:
    """Put `thing` on a sphere around `target`, looking at it, into `collection`.

    Args:
        thing: An object without a parent.
        target: The sphere's centre.
        azimuth_deg: 0 is -Y, positive towards +X: the left of a head that faces -Y.
        elevation_deg: Positive is up.
        distance_m: The sphere's radius.
        collection: It links `thing`.
        turn: How the target is turned; the directions turn with it.
    """
    azimuth, elevation = radians(azimuth_deg), radians(elevation_deg)
    outwards = Vector((sin(azimuth) * cos(elevation), -cos(azimuth) * cos(elevation), sin(elevation)))
    if turn is not None:
        outwards.rotate(turn)
    thing.location = target + outwards * distance_m
    thing.rotation_euler = (-outwards).to_track_quat("-Z", "Y").to_euler()
    collection.objects.link(thing)
    return thing


def new_world(name: str, colour: tuple[float, float, float]) -> bpy.types.World:
    """A world of one even colour."""
    world = bpy.data.worlds.new(name)
    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    background.inputs["Color"].default_value = (*colour, 1.0)
    return world
