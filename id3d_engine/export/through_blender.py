"""Formats that Blender writes: .blend itself, FBX, USD and GLB.

Blender's Python module runs in child processes: this package stays free of bpy, and a crash or a
leak of Blender's ends with its process. `blend.py` is the one module that imports bpy. What a child
writes takes its place when it is complete.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path

from ..blender_scene.bundle import read_bundle
from ..blender_scene.formats import check_file_name
from ..errors import Cancelled, Id3dError, MissingDependency

# Only the head: the stage's lights and camera are for looking at it in Blender.
_SCRIPT = """
import sys
from pathlib import Path
import bpy
from {engine}.blender_scene.bundle import read_bundle
from {engine}.blender_scene.export import export_head
from {engine}.blender_scene.head import build_head

bundle, kind, out = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
head = build_head(read_bundle(bundle), bpy.context.scene)
export_head(bpy.context, head, Path(out), kind)
"""
_ENGINE = __package__.rpartition(".")[0]


def write_blend(bundle: Path, out: Path, cancel: threading.Event | None = None) -> Path:
    """Write a bundle as a .blend file.

    Raises:
        InputError: `out` is no place for a .blend file.
        MissingDependency: bpy is not installed.
        Id3dError: Blender failed; the text ends with its last line.
        Cancelled: `cancel` was set meanwhile; nothing was written.
    """
    check_file_name(out, "blend")
    require_bpy()
    _run(["-m", f"{__package__}.blend", str(bundle)], out, cancel)
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
    _run(["-c", _SCRIPT.format(engine=_ENGINE), str(bundle), kind], out)
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


def _run(arguments: list[str], out: Path, cancel: threading.Event | None = None) -> None:
    """Run a child whose last argument is the file to write; it may write more beside that."""
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.resolve().parent) as folder:
        made = Path(folder) / out.name
        done = subprocess.run(
            [sys.executable, *arguments, str(made)],
            capture_output=True,
            text=True,
            check=False,
            # Ctrl-C is this process's to answer, and would reach a child of the same group, too.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        if cancel is not None and cancel.is_set():
            raise Cancelled(
                f"cancelled before {out} was written: `id3d export` writes it of the finished head"
            )
        if done.returncode or not made.is_file():
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise Id3dError(f"Blender could not write {out}: {lines[-1] if lines else 'it gave no reason'}")
        for file in sorted(made.parent.rglob("*"), key=lambda file: file == made):  # after what it names
            if file.is_file():
                place = out.parent / file.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
