"""A head bundle as a .blend file: `python -m id3d_engine.export.blend NAME.head OUT.blend`.

Meant for a process of its own (`through_blender.write_blend` starts one): bpy holds one open file a
process. The file has the head, a portrait camera and soft lights, with all images packed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ..blender_scene.bundle import read_bundle
from ..blender_scene.formats import check_file_name
from ..errors import Id3dError, InputError, MissingDependency


def save_blend(bundle: Path, out: Path) -> Path:
    """Write `out`; this process's open Blender file is replaced.

    Raises:
        MissingDependency: bpy is not installed.
        InputError: `bundle` is not a usable bundle, or `out` is no place for a .blend file.
        Id3dError: Blender could not write the file.
    """
    if find_spec("bpy") is None:
        raise MissingDependency(
            "Blender's Python module is not installed: run `pip install 'id3d-engine[bpy]'`"
        )
    out = out.resolve()
    check_file_name(out, "blend")
    contents = read_bundle(bundle)
    import bpy

    from ..blender_scene.head import build_head
    from ..blender_scene.stage import build_stage

    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    head = build_head(contents, scene)
    build_stage(head, scene)
    head.select_set(True)
    bpy.context.view_layer.objects.active = head
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(out), compress=True, copy=True)
    except RuntimeError as error:
        raise Id3dError(f"Blender could not write {out}: {' '.join(str(error).split())}") from error
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Two arguments, bundle and .blend; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 2:
        print("usage: python -m id3d_engine.export.blend NAME.head OUT.blend", file=sys.stderr)
        return InputError.exit_code
    try:
        save_blend(Path(arguments[0]), Path(arguments[1]))
    except Id3dError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
