"""One head as glTF, FBX or USD through Blender's exporters: the one place with their settings.

All three keep the shape keys' names, and none applies modifiers of the head: an applied modifier loses the
keys. USD has the head's hair as curves; the other two know no curves of this kind, and leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy

from ..errors import Id3dError, InputError
from .formats import check_file_name
from .hair import hair_of


def export_head(
    context: bpy.types.Context, head: bpy.types.Object, path: Path, kind: str, *, animation: bool = True
) -> Path:
    """Write `head`, and its hair if it is shown and the format is USD, whatever is selected.

    USD writes its textures into a folder beside the file (`.usdz` has them inside), the others embed
    them. Selection and scene stay as they were.

    Args:
        context: Its view layer has the head, visible, and is in Object Mode.
        head: The object.
        path: The file; an existing one is replaced.
        kind: fbx, usd or glb.
        animation: Also its Action and that of its shape keys, if there are such.

    Raises:
        InputError: see `check_file_name`; or the file cannot be written there.
        Id3dError: Blender could not write the file.
    """
    check_file_name(path, kind)
    _check_writable(path)
    moves = animation and any(_has_action(owner) for owner in (head, head.data.shape_keys))
    hair = [part for part in hair_of(head) if part.visible_get()] if kind == "usd" else []
    with _only_selected(context.view_layer, (head, *hair)), _without_modifiers(head):
        try:
            _EXPORTERS[kind](str(path), moves)
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split()).removeprefix("Error: ")
            raise Id3dError(f"Blender could not write {path}: {reason}") from error
    if not path.is_file():
        raise Id3dError(f"Blender could not write {path}: check that its folder can be written to")
    return path


def _check_writable(path: Path) -> None:
    """Asked before Blender's exporters, which answer with a traceback or a plugin that they miss."""
    try:
        new = not path.exists()
        path.open("ab").close()
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{path} cannot be written ({reason}): choose another place") from error
    if new:
        path.unlink()


def _gltf(path: str, animation: bool) -> None:
    bpy.ops.export_scene.gltf(
        filepath=path,
        export_format="GLB",
        use_selection=True,
        use_active_scene=True,
        export_apply=False,
        export_morph=True,
        export_animations=animation,
        export_extras=True,
    )


def _fbx(path: str, animation: bool) -> None:
    bpy.ops.export_scene.fbx(
        filepath=path,
        use_selection=True,
        use_mesh_modifiers=False,
        bake_anim=animation,
        bake_anim_use_all_actions=False,
        bake_anim_use_nla_strips=False,
        use_custom_props=True,
        path_mode="COPY",
        embed_textures=True,
    )


def _usd(path: str, animation: bool) -> None:
    bpy.ops.wm.usd_export(
        filepath=path,
        selected_objects_only=True,
        export_shapekeys=True,
        export_animation=animation,
        convert_world_material=False,
    )


_EXPORTERS: dict[str, Any] = {"glb": _gltf, "fbx": _fbx, "usd": _usd}


def _has_action(owner: bpy.types.ID | None) -> bool:
    animation = owner.animation_data if owner is not None else None
    return animation is not None and (animation.action is not None or len(animation.nla_tracks) > 0)


@contextmanager
def _only_selected(layer: bpy.types.ViewLayer, chosen: Sequence[bpy.types.Object]) -> Iterator[None]:
    selected = [thing for thing in layer.objects if thing.select_get(view_layer=layer)]
    active = layer.objects.active
    for thing in selected:
        thing.select_set(False, view_layer=layer)
    for thing in chosen:
        thing.select_set(True, view_layer=layer)
    layer.objects.active = chosen[0]
    try:
        yield
    finally:
        for thing in chosen:
            thing.select_set(False, view_layer=layer)
        for thing in selected:
            thing.select_set(True, view_layer=layer)
        layer.objects.active = active


@contextmanager
def _without_modifiers(head: bpy.types.Object) -> Iterator[None]:
    # USD has no setting for it.
    shown = [(each, each.show_viewport, each.show_render) for each in head.modifiers]
    for modifier, _, _ in shown:
        modifier.show_viewport = modifier.show_render = False
    try:
        yield
    finally:
        for modifier, viewport, render in shown:
            modifier.show_viewport, modifier.show_render = viewport, render
