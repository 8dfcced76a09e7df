"""ID3D for scripts: photos in, a Blender object out.

Extensions have no fixed module name, so look it up (two lines, the same in every Blender):

    name = next(a.module for a in bpy.context.preferences.addons if a.module.endswith(".id3d"))
    id3d = importlib.import_module(name)

    head = id3d.api.generate(photos=["anna.jpg"], seed=1)
    head.data.shape_keys.key_blocks["smile"].value = 1.0

    beard = id3d.api.edit(head, text="with a full beard")

These functions call the operators `id3d.generate_head`, `id3d.edit_head` and `id3d.import_head`, so both
give the same vertices. They return when the head is there; while they run, Blender waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import bpy

from .heads import is_head

__all__ = ["edit", "generate", "load"]


def generate(
    photos: str | Path | Sequence[str | Path],
    *,
    text: str = "",
    preset: str = "draft",
    expressions: str = "all",
    seed: int = 0,
    topology: str = "fine",
) -> bpy.types.Object:
    """Make a head and add it to the scene.

    Args:
        photos: One photo, several photos of one person, or one identity file (`.id`).
        text: What the photos do not say, as "with short curly hair".
        preset: "draft", "standard" or "high".
        expressions: "all", or names with commas between them; Apple's 52 always come along.
        seed: The same seed and photos give the same head.
        topology: "fine" (20,000 vertices) or "template" (5,000).

    Returns:
        The head: metres, face to -Y, one shape key for each expression, all at 0. It is selected and active.

    Raises:
        RuntimeError: it was not made; the text says why and what to do.
    """
    settings = {
        "text": text,
        "preset": preset,
        "expressions": expressions,
        "seed": seed,
        "topology": topology,
    }
    return _made_by(bpy.ops.id3d.generate_head, photos=_lines(photos), **settings)


def edit(
    head: bpy.types.Object,
    *,
    text: str,
    target: str = "both",
    preset: str = "draft",
    seed: int = 0,
    photos: str | Path | Sequence[str | Path] = (),
) -> bpy.types.Object:
    """Make a new head of one in the scene, changed by a text.

    It stands where `head` stands, with its face. `head` is hidden, and nothing else of it changes; its
    bundle stays, too, and the new one lies beside it as `NAME-edit-001.head`.

    Args:
        head: What `generate`, `load` or `edit` gave, or another head in view whose bundle is on this machine.
        text: What should change, as "with a full beard".
        target: "both", "geometry" (the maps stay) or "texture" (mesh and expressions stay).
        preset: "draft", "standard" or "high".
        seed: The same seed, head and text give the same head.
        photos: As for `generate`; none: those that the head was made from, where they are known.

    Returns:
        The new head, as from `generate`.

    Raises:
        RuntimeError: it was not made; the text says why and what to do.
    """
    bpy.context.view_layer.objects.active = head
    settings = {"text": text, "target": target, "preset": preset, "seed": seed}
    return _made_by(bpy.ops.id3d.edit_head, photos=_lines(photos), **settings)


def load(path: str | Path) -> bpy.types.Object:
    """Add a head that was made before to the scene.

    Args:
        path: A `NAME.head` folder.

    Returns:
        The head, as from `generate`.

    Raises:
        RuntimeError: it cannot be read; the text says why.
    """
    return _made_by(bpy.ops.id3d.import_head, directory=str(path))


def _lines(photos: str | Path | Sequence[str | Path]) -> str:
    several = [photos] if isinstance(photos, str | Path) else photos
    # A script's paths are relative to where it runs; Blender's (//) to the open file.
    return "\n".join(
        str(path) if str(path).startswith("//") else str(Path(path).resolve()) for path in several
    )


def _made_by(operator: Callable[..., set[str]], **arguments: object) -> bpy.types.Object:
    before = set(bpy.data.objects)
    if operator("EXEC_DEFAULT", **arguments) != {"FINISHED"}:
        raise RuntimeError("No head was made: the job was cancelled")
    return next(thing for thing in bpy.data.objects if thing not in before and is_head(thing))
