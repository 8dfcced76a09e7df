"""Formats that Blender writes: .blend itself, FBX, USD and GLB.

Blender's Python module runs in child processes: this package stays free of bpy, and a crash or a
leak of Blender's ends with its process. `blend.py` is the one module that imports bpy.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ..blender_scene.bundle import read_bundle
from ..blender_scene.formats import check_file_name
from ..errors import Id3dError, MissingDependency

# Only the head: the stage's lights and camera are for looking at it in Blender.
_SCRIPT = """
import sys
from pathlib import Path
import bpy
from {engine}.blender_scene.bundle import read_bundle
from {engine}.blender_scene.export import export_head
from {engine}.blender_scene.head import build_head

bundle, out, kind = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
head = build_head(read_bundle(bundle), bpy.context.scene)
export_head(bpy.context, head, Path(out), kind)
"""
_ENGINE = __package__.rpartition(".")[0]


def write_blend(bundle: Path, out: Path) -> Path:
    """Write a bundle as a .blend file.

    Raises:
        MissingDependency: bpy is not installed.
        Id3dError: Blender failed; the text ends with its last line.
    """
    _run(["-m", f"{__package__}.blend", str(bundle), str(out)], out)
    return out


def convert(bundle: Path, out: Path, kind: str) -> Path:
    """Write a bundle as FBX, USD or, by Blender's own exporter, GLB.

    USD writes its textures into a folder beside the file; the others embed them.

    Raises:
        InputError: another kind, a file name that does not fit it, or `bundle` is not a usable bundle.
        MissingDependency, Id3dError: see `write_blend`.
    """
    check_file_name(out, kind)
    require_bpy()
    read_bundle(bundle)  # here, because its errors are better sentences than the child's last line
    _run(["-c", _SCRIPT.format(engine=_ENGINE), str(bundle), str(out.resolve()), kind], out)
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
