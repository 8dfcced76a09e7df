"""The head in the viewport while the engine works on it: one object of its own, gone at the end.

The file is read on the reader's thread (`read`); the main thread only swaps arrays (`show`). Undo,
loading and saving may take the object away at any time, so it is found by its mark, never kept.
"""

from __future__ import annotations

from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from mathutils import Matrix

from ..id3d_engine.blender_scene.bundle import read_safetensors
from ..id3d_engine.errors import InputError
from . import framing

NAME = "ID3D Preview"
_MARK = "id3d_preview"
_BESIDE = 1.2  # in widths of the head


def read(event: dict[str, Any]) -> None:
    """Put the arrays of the surface that a progress event names into the event; any thread."""
    if event.get("surface"):
        # A file that is being replaced comes again with the next event.
        with suppress(InputError):
            event["mesh"], _ = read_safetensors(Path(event["surface"]))


def show(scene: bpy.types.Scene, arrays: dict[str, Any], old: bpy.types.Object | None = None) -> None:
    """Give the preview this surface.

    Args:
        scene: Where the preview is made if there is none yet.
        arrays: `vertices` (N, 3) float32 in metres and `triangles` (T, 3) int32.
        old: A head that is being changed; the preview is made at its left hand, where both are seen.
    """
    thing = _find()
    new = thing is None
    if thing is None:
        thing = _make(scene)
        if old is not None:
            across = [corner[0] for corner in old.bound_box]
            beside = Matrix.Translation((_BESIDE * (max(across) - min(across)), 0, 0))
            thing.matrix_world = old.matrix_world @ beside
    if thing.mode == "OBJECT":
        _fill(thing.data, arrays["vertices"], arrays["triangles"])
    if new:
        framing.frame(scene, thing)


def remove() -> None:
    """Take the preview away, wherever it came from: this job, an undo step, or a file."""
    for store in (bpy.data.objects, bpy.data.meshes, bpy.data.collections):
        for item in [item for item in store if item.name.startswith(NAME) and _MARK in item]:
            store.remove(item)


def _find() -> bpy.types.Object | None:
    return next(
        (item for item in bpy.data.objects if item.name.startswith(NAME) and _MARK in item),
        None,
    )


def _make(scene: bpy.types.Scene) -> bpy.types.Object:
    remove()  # what is left when someone deleted only the object
    mesh = bpy.data.meshes.new(NAME)
    thing = bpy.data.objects.new(NAME, mesh)
    collection = bpy.data.collections.new(NAME)
    for item in (mesh, thing, collection):
        item[_MARK] = True
    collection.objects.link(thing)
    scene.collection.children.link(collection)
    thing.hide_select = thing.hide_render = True
    return thing


def _fill(mesh: bpy.types.Mesh, vertices: Any, triangles: Any) -> None:
    mesh.clear_geometry()
    mesh.vertices.add(len(vertices))
    mesh.loops.add(triangles.size)
    mesh.polygons.add(len(triangles))
    # By attribute: forty times faster than through `vertices` and `loops`.
    mesh.attributes["position"].data.foreach_set("vector", vertices.ravel())
    mesh.attributes[".corner_vert"].data.foreach_set("value", triangles.ravel())
    mesh.polygons.foreach_set("loop_start", array("i", range(0, triangles.size, 3)))
    mesh.update(calc_edges=True)
    mesh.shade_smooth()


@persistent
def _gone(*_: object) -> None:
    remove()


_HANDLERS = (bpy.app.handlers.save_pre, bpy.app.handlers.load_post)


def attach() -> None:
    """Keep previews out of saved files, and out of files that an autosave put them into."""
    for handlers in _HANDLERS:
        handlers.append(_gone)


def detach() -> None:
    """Undo `attach`; a preview that is there goes."""
    for handlers in _HANDLERS:
        handlers.remove(_gone)
    remove()
