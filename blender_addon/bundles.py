"""Where the bundles of the scene's heads are.

A head carries a digest of its bundle's `head.json`. The folder of that digest is kept in the extension's
own folder: a .blend file, or an export of the head, that goes to someone else names no path.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import bpy

from .heads import is_head
from .preferences import user_folder

_MARK = "id3d_bundle"  # a custom property of the object: the digest


def remember(head: bpy.types.Object, folder: Path) -> None:
    """Keep that `head` was read from the bundle in `folder`."""
    digest = _digest(folder)
    head[_MARK] = digest
    with suppress(OSError):  # then it has to be imported again, and nothing else is lost
        _note(digest).write_text(str(folder.resolve()), encoding="utf-8")


def bundle_of(head: bpy.types.Object) -> Path | None:
    """The bundle of `head` where it was seen last, which may be gone; None if this machine never saw it."""
    try:
        return Path(_note(str(head[_MARK])).read_text(encoding="utf-8"))
    except (KeyError, OSError, ValueError):
        return None


def is_there(head: bpy.types.Object, folder: Path) -> bool:
    """Whether `folder` is the bundle that `head` was read from, unchanged."""
    return head.get(_MARK) == _digest(folder) != ""


def head_of(folder: Path, context: bpy.types.Context) -> bpy.types.Object | None:
    """The head in view that was read from the bundle in `folder`; of several rather the active one."""
    digest, layer = _digest(folder), context.view_layer
    found = [thing for thing in layer.objects if digest and is_head(thing) and thing.get(_MARK) == digest]
    return max(found, key=lambda head: (head == layer.objects.active, head.visible_get()), default=None)


def _digest(folder: Path) -> str:
    try:
        return hashlib.sha256((folder / "head.json").read_bytes()).hexdigest()
    except OSError:
        return ""


def _note(digest: str) -> Path:
    return user_folder("bundles") / f"{digest[:20]}.txt"
