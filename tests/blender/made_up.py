"""For scripts that run in Blender's process: the add-on from the checkout, and a small head."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np

ROOT = Path(__file__).parents[2]


def load_addon() -> ModuleType:
    """An empty scene and the registered add-on, as a package like the one Blender makes of the zip."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    spec = importlib.util.spec_from_file_location(
        "id3d", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    sys.modules["id3d"] = addon = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(addon)
    # Blender keeps folders for extensions that it installed itself: what is noted goes to the test's home.
    importlib.import_module("id3d.blender_addon.bundles").user_folder = _folder
    addon.register()
    return addon


def _folder(name: str) -> Path:
    folder = Path.home() / name
    folder.mkdir(exist_ok=True)
    return folder


def add_head(names: tuple[str, ...], rows: int = 9, columns: int = 12) -> bpy.types.Object:
    """A curved patch of quads with a UV seam; each key moves some of its vertices by millimetres."""
    from id3d.id3d_engine.blender_scene.bundle import Bundle
    from id3d.id3d_engine.blender_scene.head import build_head

    across, up = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(0, 1, rows))
    vertices = np.stack([0.08 * np.sin(across), -0.08 * np.cos(across), 0.25 * up], -1).reshape(-1, 3)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    faces = np.stack([corner, corner + 1, corner + columns + 1, corner + columns], -1)
    uv = np.stack([across / 4 + 0.25, up], -1).reshape(-1, 2)[faces]
    uv[corner % columns >= columns // 2, :, 0] += 0.4
    random = np.random.default_rng(5)
    moved = random.random((len(names), len(vertices), 1)) < 0.3
    bundle = Bundle(
        "anna",
        vertices.astype(np.float32),
        faces.astype(np.int32),
        uv.astype(np.float32),
        np.zeros(len(faces), np.uint8),
        (random.normal(size=(len(names), len(vertices), 3)) * 0.004 * moved).astype(np.float32),
        names,
        info={"schema": 1},
    )
    head = build_head(bundle, bpy.context.scene)
    activate(head)
    return head


def activate(thing: bpy.types.Object | None) -> None:
    """Make it the active and only selected object."""
    for other in bpy.context.view_layer.objects:
        other.select_set(other == thing)
    bpy.context.view_layer.objects.active = thing


def attempt(action, *arguments, **options) -> str:
    """What an operator answers, or the text that a script sees when it fails."""
    try:
        return sorted(action(*arguments, **options))[0]
    except RuntimeError as error:
        return str(error).strip()


def follow(job: ModuleType, until=lambda: False, limit_s: float = 20.0) -> float:
    """Tick the add-on's module `job` until its job ends or `until`; returns the seconds that it took."""
    began = time.monotonic()
    while job.tick() is not None and not until():
        assert time.monotonic() - began < limit_s, job.current.line
        time.sleep(0.02)
    return round(time.monotonic() - began, 2)


def curves(keys: bpy.types.Key) -> dict[str, bpy.types.FCurve]:
    """Shape key -> the curve that moves it."""
    action = keys.animation_data.action
    if bpy.app.version < (4, 4, 0):
        fcurves = action.fcurves
    else:
        (layer,) = action.layers
        fcurves = layer.strips[0].channelbag(keys.animation_data.action_slot).fcurves
    return {fcurve.data_path.split('"')[1]: fcurve for fcurve in fcurves}
