"""The Blender side of ID3D: a panel, an operator that runs the engine, one that imports its heads.

    properties.py    the scene's settings and the window manager's progress
    preferences.py   which Python runs the engine, where heads are kept
    engine.py        the engine as a child process; knows nothing of bpy
    job.py           the running job, followed by a timer; job_notes.py: what was asked for
    live_head.py     the head in the viewport while it is being made
    history.py       earlier heads and stopped jobs; pictures.py: icons of picture files
    operators/       generate_head, edit_head, identity, import_head, photos, check_engine, expressions, ...
    heads.py         what a head is; bundles.py: where its bundle is
    animation/       expressions and their animation
    panel.py         the sidebar's tab; panel_edit.py: its part for changes by text
    panel_expressions.py  its part for expressions and animation
    lighting.py, turntable.py   light set-ups and a turn around a head; own_collection.py
    thumbnail.py     a picture of a head for the Asset Browser
    panel_light.py, panel_export.py   their parts; panel_hair.py: showing and hiding hair

Everything heavy is in the child process; this package imports bpy and the standard library alone.
Heads are built by `id3d_engine.blender_scene`, which `id3d export --to blend` uses as well.
"""

from __future__ import annotations

import bpy

from . import (
    history,
    job,
    panel,
    panel_edit,
    panel_export,
    panel_expressions,
    panel_hair,
    panel_light,
    poller,
    preferences,
    properties,
)
from .animation import settings as expression_settings
from .operators import (
    check_engine,
    delete_head,
    edit_head,
    export_head,
    expressions,
    generate_head,
    identity,
    import_head,
    light,
    mark_asset,
    photos,
    support,
)
from .operators import setup_engine as setting_up  # `setup_engine` here is the module without bpy

# Properties first: the others point to them.
_MODULES = (
    properties,
    expression_settings,
    preferences,
    photos,
    generate_head,
    edit_head,
    identity,
    import_head,
    check_engine,
    setting_up,
    support,
    expressions,
    light,
    export_head,
    mark_asset,
    delete_head,
    panel,
    panel_edit,
    panel_expressions,
    panel_hair,
    panel_light,
    panel_export,
)


def register() -> None:
    """Register all classes and properties."""
    for module in _MODULES:
        for cls in module.CLASSES:
            bpy.utils.register_class(cls)
    properties.attach()
    expression_settings.attach()
    import_head.attach()
    job.attach()


def unregister() -> None:
    """Undo `register`, in reverse; a running engine is stopped."""
    job.detach()
    identity.detach()
    setting_up.detach()
    check_engine.detach()
    history.detach()
    poller.stop()
    import_head.detach()
    expression_settings.detach()
    properties.detach()
    for module in reversed(_MODULES):
        for cls in reversed(module.CLASSES):
            bpy.utils.unregister_class(cls)
