"""Follow something that goes on elsewhere (a child process, a thread) without holding Blender up."""

from __future__ import annotations

from collections.abc import Callable

import bpy

_EVERY_S = 0.2
_followed: list[Callable[[], float | None]] = []


def follow(step: Callable[[], bool]) -> None:
    """Call `step` on the main thread, five times a second, until it returns True.

    It outlives windows and opened files, and ends with the extension.
    """

    def poll() -> float | None:
        done = True  # also when `step` fails
        try:
            done = step()
        finally:
            redraw()
            if done:
                _followed.remove(poll)
        return None if done else _EVERY_S

    _followed.append(poll)
    bpy.app.timers.register(poll, first_interval=_EVERY_S, persistent=True)


def stop() -> None:
    """Follow nothing any more."""
    while _followed:
        poll = _followed.pop()
        if bpy.app.timers.is_registered(poll):
            bpy.app.timers.unregister(poll)


def redraw() -> None:
    """Draw the preferences and the sidebars anew."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in ("PREFERENCES", "VIEW_3D"):
                area.tag_redraw()
