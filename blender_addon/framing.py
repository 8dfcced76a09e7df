"""Views that show the head: at its real size it is a speck in a new file's viewport."""

from __future__ import annotations

from collections.abc import Iterator

import bpy
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

_SMALL = 0.15  # of a viewport's height: less is a speck
_AWAY = 2.5  # the view's distance, in heights of the head


def frame(scene: bpy.types.Scene, head: bpy.types.Object) -> None:
    """Move the views of `scene` in which the head is out of sight or a speck; none is turned."""
    corners = [head.matrix_world @ Vector(corner) for corner in head.bound_box]
    middle = sum(corners, Vector()) / len(corners)
    height = max(corner.z for corner in corners) - min(corner.z for corner in corners)
    for region, view in _views(scene):
        seen = [location_3d_to_region_2d(region, view, corner) for corner in corners]
        inside = all(p and 0 <= p.x <= region.width and 0 <= p.y <= region.height for p in seen)
        if inside and max(p.y for p in seen) - min(p.y for p in seen) > _SMALL * region.height:
            continue
        view.view_location, view.view_distance = middle, _AWAY * height


def _views(scene: bpy.types.Scene) -> Iterator[tuple[bpy.types.Region, bpy.types.RegionView3D]]:
    """The free ones: not through a camera, not tied to an object."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas if window.scene == scene else ():
            if area.type != "VIEW_3D":
                continue
            space = area.spaces.active
            region = next(region for region in area.regions if region.type == "WINDOW")
            view = space.region_3d
            if view is not None and view.view_perspective != "CAMERA" and space.lock_object is None:
                yield region, view
