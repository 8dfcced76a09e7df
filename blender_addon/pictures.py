"""Photos' thumbnails, the live picture and contact sheets as icons.

Blender reads a picture in a thread of its own when its icon is first drawn; here it is only named. The
small live picture, which changes every few seconds, is read at once: it would hardly ever be seen.
"""

from __future__ import annotations

import bpy.utils.previews

_icons: bpy.utils.previews.ImagePreviewCollection | None = None
_stamps: dict[str, int] = {}


def icon(path: str, stamp: int = 0) -> int:
    """The icon of a picture file; it is read again when `stamp` changes."""
    global _icons
    if _icons is None:
        _icons = bpy.utils.previews.new()
    if path in _icons and _stamps[path] != stamp:
        del _icons[path]
    if path not in _icons:
        _icons.load(path, path, "IMAGE", force_reload=stamp > 0)
        _stamps[path] = stamp
        if stamp > 0:
            _ = _icons[path].image_size[:]  # asking for it reads the file
    return _icons[path].icon_id


def detach() -> None:
    """Free all of them."""
    global _icons
    if _icons is not None:
        bpy.utils.previews.remove(_icons)
        _icons = None
    _stamps.clear()
