"""The files that Blender writes of a head; needs no bpy, so that a name is checked before Blender starts."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError

# kind -> the endings that Blender's exporter takes, the usual one first.
ENDINGS = {"fbx": (".fbx",), "usd": (".usd", ".usdc", ".usda", ".usdz"), "glb": (".glb",)}


def check_file_name(path: Path, kind: str) -> None:
    """Raises:
    InputError: another kind than those in `ENDINGS`, or a file name that does not fit the kind.
    """
    if kind not in ENDINGS:
        raise InputError(f"Blender cannot be asked for {kind!r} here: choose one of {', '.join(ENDINGS)}")
    if path.suffix.lower() not in ENDINGS[kind]:
        endings = ", ".join(ENDINGS[kind])
        raise InputError(f"{path} is no {kind.upper()} file name: end it in {endings}")
