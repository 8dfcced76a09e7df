"""A small picture of a head, rendered by Cycles in a scene of its own that is gone afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
from mathutils import Matrix

from ..id3d_engine.blender_scene.hair import copy_hair
from ..id3d_engine.blender_scene.stage import build_stage, new_world

SIZE = 256
_SAMPLES = 16
# What rendering adds to the file; images: the render result.
_KINDS = ("objects", "hair_curves", "collections", "cameras", "lights", "images")


def set_thumbnail(head: bpy.types.Object) -> None:
    """Render `head` as it looks now and make the picture its preview.

    Raises:
        RuntimeError: Cycles is not there, or the picture could not be rendered.
    """
    with tempfile.TemporaryDirectory(prefix="id3d-") as folder:
        path = _render(head, Path(folder) / "thumbnail.png")
        image = bpy.data.images.load(str(path), check_existing=False)
        try:
            image.colorspace_settings.name = "Non-Color"  # previews hold what the screen shows
            preview = head.preview_ensure()
            preview.image_size = image.size
            preview.image_pixels_float = image.pixels[:]
        finally:
            bpy.data.images.remove(image)


def _render(head: bpy.types.Object, path: Path) -> Path:
    scene = bpy.data.scenes.new("ID3D Thumbnail")
    before = {kind: set(getattr(bpy.data, kind)) for kind in _KINDS}
    world = scene.world = new_world("ID3D Thumbnail", (0.12, 0.12, 0.12))
    try:
        _prepare(head, scene)
        scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True, scene=scene.name)
    finally:
        made = [thing for kind, known in before.items() for thing in set(getattr(bpy.data, kind)) - known]
        bpy.data.batch_remove([*made, world, scene])
    if not path.is_file():
        raise RuntimeError("Cycles wrote no picture")
    return path


def _prepare(head: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """A stand-in of the head, straight and visible, with the same mesh and hair, and lights around it."""
    stand_in = head.copy()
    stand_in.animation_data_clear()
    stand_in.constraints.clear()
    stand_in.parent = None
    stand_in.matrix_world = Matrix.Identity(4)
    stand_in.hide_render = stand_in.hide_viewport = False
    scene.collection.objects.link(stand_in)
    copy_hair(head, stand_in)
    scene.view_layers[0].update()
    build_stage(stand_in, scene)
    try:
        scene.render.engine = "CYCLES"
    except TypeError as error:
        raise RuntimeError("enable the add-on Cycles Render Engine") from error
    scene.cycles.device, scene.cycles.samples, scene.cycles.use_denoising = "CPU", _SAMPLES, False
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGBA", "8"
