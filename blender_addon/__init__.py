"""The Blender side of ID3D: a panel, an operator that runs the engine, one that imports its heads.

    properties.py    the scene's settings and the window manager's progress
    preferences.py   which Python runs the engine, where heads are kept
    engine.py        the engine as a child process; knows nothing of bpy
    operators/       generate_head, import_head, photos, check_engine
    panel.py         the sidebar's tab

Everything heavy is in the child process; this package imports bpy and the standard library alone.
Heads are built by `id3d_engine.blender_scene`, which `id3d export --to blend` uses as well.
"""

from __future__ import annotations

import bpy

from . import panel, preferences, properties
from .operators import check_engine, generate_head, import_head, photos

# Properties first: the others point to them.
_MODULES = (properties, preferences, photos, generate_head, import_head, check_engine, panel)


def register() -> None:
    """Register all classes and properties."""
    for module in _MODULES:
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
    properties.attach()
    import_head.attach()


def unregister() -> None:
    """Undo `register`, in reverse; a running engine is stopped."""
    generate_head.stop()
    import_head.detach()
    properties.detach()
    for module in reversed(_MODULES):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
