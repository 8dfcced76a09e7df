"""The files that a head is written to; needs no bpy, so that a name is checked before Blender starts."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError

# kind -> the endings that its writer takes, the usual one first.
ENDINGS = {
    "fbx": (".fbx",),
    "usd": (".usd", ".usdc", ".usda", ".usdz"),
    "glb": (".glb",),
    "obj": (".obj",),
    "blend": (".blend",),
    "png": (".png",),
}


def check_file_name(path: Path, kind: str) -> None:
    """Ask before the work whether a file may be written there.

    Raises:
        InputError: another kind than those in `ENDINGS`, a file name that does not fit the kind, or no
            folder to write it to.
    """
    if kind not in ENDINGS:
        raise InputError(f"{kind!r} is no format of these: choose one of {', '.join(ENDINGS)}")
    if path.suffix.lower() not in ENDINGS[kind]:
        endings = ", ".join(ENDINGS[kind])
        raise InputError(f"{path} is no {kind.upper()} file name: end it in {endings}")
    folder = path.parent
    if os.path.isdir(path) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise InputError(
            f"{path} cannot be written: give a file name in a folder that exists and that you may write to"
        )
