"""Formats that Blender writes: .blend itself, and FBX and USD from it.

Blender's Python module runs in child processes: this package stays free of bpy, and a crash or a
leak of Blender's ends with its process. `blend.py` is the one module that imports bpy.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from ..errors import Id3dError, InputError, MissingDependency

# Only the head: the stage's lights and camera are for looking at it in Blender.
_OPERATORS = {
    "fbx": "export_scene.fbx(filepath=out, use_selection=True, use_mesh_modifiers=False, "
    "path_mode='COPY', embed_textures=True)",
    "usd": "wm.usd_export(filepath=out, selected_objects_only=True, export_shapekeys=True)",
}
_SCRIPT = """
import sys, bpy
source, out = sys.argv[-2:]
bpy.ops.wm.open_mainfile(filepath=source)
head = bpy.context.view_layer.objects.active
for thing in bpy.context.view_layer.objects:
    thing.select_set(thing == head)
bpy.ops.{operator}
"""


def write_blend(bundle: Path, out: Path) -> Path:
    """Write a bundle as a .blend file.

    Raises:
        MissingDependency: bpy is not installed.
        Id3dError: Blender failed; the text ends with its last line.
    """
    _run(["-m", f"{__package__}.blend", str(bundle), str(out)], out)
    return out


def convert(bundle: Path, out: Path, kind: str) -> Path:
    """Write a bundle as FBX or USD, by way of a .blend file.

    USD writes its textures into a folder beside the file; FBX embeds them.

    Raises:
        InputError: another kind, or a USD file whose name USD does not take.
        MissingDependency, Id3dError: see `write_blend`.
    """
    if kind not in _OPERATORS:
        raise InputError(f"Blender cannot be asked for {kind!r} here: choose one of {', '.join(_OPERATORS)}")
    if kind == "usd" and out.suffix not in (".usd", ".usda", ".usdc", ".usdz"):
        raise InputError(f"{out} is no USD file name: end it in .usd, .usda, .usdc or .usdz")
    require_bpy()
    with tempfile.TemporaryDirectory(prefix="id3d-") as folder:
        blend = write_blend(bundle, Path(folder) / f"{bundle.stem}.blend")
        script = _SCRIPT.format(operator=_OPERATORS[kind])
        _run(["-c", script, str(blend), str(out.resolve())], out)
    return out


def require_bpy() -> None:
    """Raises:
    MissingDependency: bpy is not installed.
    """
    if find_spec("bpy") is None:
        raise MissingDependency(
            "Blender's Python module is not installed: run `pip install 'id3d-engine[bpy]'`, or import "
            "head.glb of the bundle in Blender"
        )


def _run(arguments: list[str], out: Path) -> None:
    require_bpy()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode or not out.is_file():
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Id3dError(f"Blender could not write {out}: {lines[-1] if lines else 'it gave no reason'}")
