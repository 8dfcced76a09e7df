"""Collections that the add-on puts into a scene and takes away again, found by a custom property.

A mark survives what a name does not: renaming, and a second scene with the same name in it.
"""

from __future__ import annotations

from collections.abc import Collection

import bpy


def find(scene: bpy.types.Scene, mark: str) -> bpy.types.Collection | None:
    """The scene's collection that has the custom property `mark`."""
    return next((found for found in scene.collection.children_recursive if mark in found), None)


def remove(scene: bpy.types.Scene, collection: bpy.types.Collection, kinds: Collection[str]) -> None:
    """Remove `collection` and its objects of some kinds, with their data and Actions.

    What else the user has put into it moves to the scene's own collection.

    Args:
        scene: Has the collection.
        collection: Its child collections go up, too.
        kinds: Values of `Object.type`.
    """
    ours = [thing for thing in collection.objects if thing.type in kinds]
    for thing in collection.objects:
        if thing not in ours and thing.name not in scene.collection.objects:
            scene.collection.objects.link(thing)
    for child in collection.children:
        if child.name not in scene.collection.children:
            scene.collection.children.link(child)
    data = {thing.data for thing in ours if thing.data is not None and thing.data.users == 1}
    animations = [thing.animation_data for thing in ours if thing.animation_data is not None]
    actions = {each.action for each in animations if each.action is not None and each.action.users == 1}
    bpy.data.batch_remove([*ours, *data, *actions, collection])
