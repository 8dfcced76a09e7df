"""The list of photos in the panel."""

from pathlib import Path

import bpy
from bpy.props import CollectionProperty, StringProperty


class ID3D_OT_add_photos(bpy.types.Operator):
    """Choose photos of one person (several are better), or an identity file"""

    bl_idname = "id3d.add_photos"
    bl_label = "Add Photos"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012 (Blender's own convention)

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: bpy.props.BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})
    filter_glob: StringProperty(default="*.png;*.jpg;*.jpeg;*.webp;*.id", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.id3d
        for file in self.files:
            if file.name:
                settings.photos.add().path = str(Path(self.directory) / file.name)
        settings.active_photo = len(settings.photos) - 1
        return {"FINISHED"}


class ID3D_OT_remove_photo(bpy.types.Operator):
    """Take this photo off the list; the file stays"""

    bl_idname = "id3d.remove_photo"
    bl_label = "Remove Photo"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return len(context.scene.id3d.photos) > 0

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.id3d
        settings.photos.remove(settings.active_photo)
        settings.active_photo = max(0, min(settings.active_photo, len(settings.photos) - 1))
        return {"FINISHED"}


CLASSES = (ID3D_OT_add_photos, ID3D_OT_remove_photo)
