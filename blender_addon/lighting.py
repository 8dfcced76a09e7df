"""Light set-ups around a head, which leave the scene's own lights and world as they were.

A set-up is one collection with its lights. While it is there, the scene's own lights are hidden, each
with a note of how it was, and the scene has another world; `remove_lights` puts everything back.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
from mathutils import Quaternion, Vector

from ..id3d_engine.blender_scene.hair import bounds
from ..id3d_engine.blender_scene.stage import new_world, place_around
from . import own_collection

NAME = "ID3D Light"

# Custom properties: of our collection, and of a light that is hidden meanwhile.
_SETUP, _WORLD, _OWN_WORLD = "id3d_light", "id3d_former_world", "id3d_world"
_HIDDEN = "id3d_hidden"

_REFERENCE_HEIGHT_M = 0.25


@dataclass(frozen=True)
class Lamp:
    """An area light that looks at the head's middle.

    Attributes:
        name: Suffix of its name.
        azimuth_deg: From the face towards the head's left.
        elevation_deg: Positive is up.
        distance: In heights of the head.
        size: Of its square, in heights of the head: small lights cast hard shadows.
        watts: For a head of 0.25 m; larger heads get light of the same brightness.
    """

    name: str
    azimuth_deg: float
    elevation_deg: float
    distance: float
    size: float
    watts: float


@dataclass(frozen=True)
class Setup:
    """One way of lighting.

    Attributes:
        label: For people.
        description: One line about it.
        lamps: Its lights.
        world: Brightness of the even grey that replaces the world.
    """

    label: str
    description: str
    lamps: tuple[Lamp, ...]
    world: float


SETUPS = {
    "FRONT": Setup(
        "Front",
        "One softbox in front of the face, a little above the camera",
        (Lamp("Front", 0.0, 15.0, 4.0, 1.6, 11.0),),
        0.03,
    ),
    "BACK": Setup(
        "Back",
        "Two lights behind the head that draw its outline; the face is in shade",
        (Lamp("Back Left", 150.0, 30.0, 4.0, 1.0, 20.0), Lamp("Back Right", -150.0, 30.0, 4.0, 1.0, 20.0)),
        0.03,
    ),
    "DIRECT": Setup(
        "Direct",
        "One small light from the upper left, with hard shadows, as from the sun",
        (Lamp("Direct", 50.0, 35.0, 8.0, 0.1, 75.0),),
        0.01,
    ),
    "DIFFUSED": Setup(
        "Diffused",
        "Light from everywhere, as under an overcast sky: hardly any shadows",
        (Lamp("Diffused Top", 0.0, 70.0, 4.0, 6.0, 12.0),),
        0.6,
    ),
}


@dataclass(frozen=True)
class Place:
    """Where a head is, in the world: its box's middle, its height in metres, how it is turned."""

    centre: Vector
    height: float
    turn: Quaternion


def place_of(head: bpy.types.Object) -> Place:
    """The head's place, from the bounds of it and its hair."""
    low, high = bounds(head)
    _, turn, scale = head.matrix_world.decompose()
    height = (high.z - low.z) * abs(scale.z)
    return Place(head.matrix_world @ ((low + high) / 2), height, turn)


def setup_of(scene: bpy.types.Scene) -> str | None:
    """Which of `SETUPS` lights the scene, or None."""
    found = own_collection.find(scene, _SETUP)
    return None if found is None else found[_SETUP]


def add_lights(
    head: bpy.types.Object, scene: bpy.types.Scene, setup: str, *, strength: float = 1.0, world: bool = True
) -> bpy.types.Collection:
    """Light `head` with one of `SETUPS`, in place of the one that was there.

    Args:
        head: The lights are placed around it, and sized with it.
        scene: Its own lights are hidden until `remove_lights`.
        setup: A key of `SETUPS`.
        strength: Factor on every light.
        world: Whether to replace the scene's world until then, too.
    """
    remove_lights(scene)
    for light in [thing for thing in scene.objects if thing.type == "LIGHT" and thing.is_editable]:
        light[_HIDDEN] = [light.hide_viewport, light.hide_render]
        light.hide_viewport = light.hide_render = True
    collection = bpy.data.collections.new(NAME)
    collection[_SETUP] = setup
    scene.collection.children.link(collection)
    place, chosen = place_of(head), SETUPS[setup]
    for lamp in chosen.lamps:
        _add_lamp(lamp, place, strength, collection)
    if world:
        collection[_WORLD] = scene.world
        scene.world = collection[_OWN_WORLD] = new_world(NAME, (chosen.world * strength,) * 3)
    return collection


def remove_lights(scene: bpy.types.Scene) -> bool:
    """Take the set-up away and bring back what it hid; False if there is none."""
    collection = own_collection.find(scene, _SETUP)
    if collection is None:
        return False
    own = collection.get(_OWN_WORLD)
    if own is not None:
        if scene.world == own:  # else the user has chosen another meanwhile
            scene.world = collection.get(_WORLD)
        bpy.data.worlds.remove(own)
    own_collection.remove(scene, collection, {"LIGHT"})
    for light in scene.objects:
        if _HIDDEN in light:
            light.hide_viewport, light.hide_render = (bool(flag) for flag in light[_HIDDEN])
            del light[_HIDDEN]
    return True


def _add_lamp(lamp: Lamp, place: Place, strength: float, collection: bpy.types.Collection) -> None:
    data = bpy.data.lights.new(f"{NAME} {lamp.name}", "AREA")
    data.size = lamp.size * place.height
    data.energy = lamp.watts * strength * (place.height / _REFERENCE_HEIGHT_M) ** 2
    light = bpy.data.objects.new(data.name, data)
    light.visible_camera = False
    distance = lamp.distance * place.height
    place_around(light, place.centre, lamp.azimuth_deg, lamp.elevation_deg, distance, collection, place.turn)
