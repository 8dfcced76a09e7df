"""The list of photos in the panel: chosen, dropped, or taken from a saved identity or an earlier head."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, StringProperty

from .. import history
from ..preferences import identities_folder

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_UNDOABLE = {"REGISTER", "UNDO", "INTERNAL"}


class ID3D_OT_add_photos(bpy.types.Operator):
    """Choose photos of one person (several are better), or an identity file"""

    bl_idname = "id3d.add_photos"
    bl_label = "Add Photos"
    bl_options = _UNDOABLE

    directory: StringProperty(name="Folder", subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    filter_glob: StringProperty(default="*.png;*.jpg;*.jpeg;*.webp;*.id", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.files:  # dropped
            return self.execute(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        paths = [str(Path(self.directory) / file.name) for file in self.files if file.name]
        if not paths:
            self.report({"ERROR"}, "No photo was chosen")
            return {"CANCELLED"}
        _add(context, paths)
        return {"FINISHED"}


class ID3D_OT_remove_photo(bpy.types.Operator):
    """Take this photo off the list; the file stays"""

    bl_idname = "id3d.remove_photo"
    bl_label = "Remove Photo"
    bl_options = _UNDOABLE

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if len(context.scene.id3d.photos) > 0:
            return True
        cls.poll_message_set("The list is empty")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = context.scene.id3d
        settings.photos.remove(settings.active_photo)
        settings.active_photo = max(0, min(settings.active_photo, len(settings.photos) - 1))
        return {"FINISHED"}


class ID3D_OT_use_identity(bpy.types.Operator):
    """Make heads of this saved person; it takes the place of the photos in the list"""

    bl_idname = "id3d.use_identity"
    bl_label = "Use Identity"
    bl_options = _UNDOABLE

    filepath: StringProperty(name="File", subtype="FILE_PATH", description="An identity file, NAME.id")

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        if path.suffix.lower() != ".id" or not path.is_file():
            self.report({"ERROR"}, f"{path} is no identity file: choose a NAME.id")
            return {"CANCELLED"}
        context.scene.id3d.photos.clear()
        _add(context, [str(path)])
        return {"FINISHED"}


class ID3D_OT_again(bpy.types.Operator):
    """Put this head's settings into the panel, to make it again or a variation of it"""

    bl_idname = "id3d.again"
    bl_label = "Again with These Settings"
    bl_options = _UNDOABLE

    head: StringProperty(name="Head", description="A NAME.head folder", subtype="DIR_PATH")

    def execute(self, context: bpy.types.Context) -> set[str]:
        made = history.settings_of(Path(bpy.path.abspath(self.head)))
        if made is None:
            self.report({"ERROR"}, f"{self.head} is not a head: choose a NAME.head folder")
            return {"CANCELLED"}
        settings, request = context.scene.id3d, made.request
        settings.seed = request.seed
        if request.preset in ("draft", "standard", "high"):
            settings.preset = request.preset
        if request.target:
            settings.change, settings.target = request.text, request.target
            self.report({"INFO"}, "Select the head to change, then press Change Head")
            return {"FINISHED"}
        settings.text = request.text
        if request.topology in ("fine", "template"):
            settings.topology = request.topology
        settings.choose(request.expressions)
        there = [path for path in request.photos if Path(path).is_file()]
        if there:
            settings.photos.clear()
            _add(context, there)
        if not there or len(there) < len(request.photos):
            self.report({"WARNING"}, "Not all of its photos are there any more: check the list of photos")
        return {"FINISHED"}


class ID3D_MT_identities(bpy.types.Menu):
    """The saved identities, and the way to save one."""

    bl_label = "Saved Identities"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        # One folder of the extension's own, listed when the menu is opened.
        paths = sorted(identities_folder().glob("*.id"))
        for path in paths:
            layout.operator("id3d.use_identity", text=path.stem, icon="USER").filepath = str(path)
        if not paths:
            layout.label(text="None saved yet")
        layout.separator()
        layout.operator("id3d.save_identity", icon="FILE_TICK")


class ID3D_FH_photos(bpy.types.FileHandler):
    """Photos dropped on the sidebar. On the view itself Blender makes reference images of them."""

    bl_idname = "ID3D_FH_photos"
    bl_label = "Photos for ID3D"
    bl_import_operator = "id3d.add_photos"
    bl_file_extensions = ";".join((*_PICTURES, ".id"))

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        area, region = context.area, context.region
        return bool(area and region) and area.type == "VIEW_3D" and region.type == "UI"


class ID3D_FH_identity(bpy.types.FileHandler):
    """An identity file dropped anywhere on a 3D view."""

    bl_idname = "ID3D_FH_identity"
    bl_label = "Identity for ID3D"
    bl_import_operator = "id3d.use_identity"
    bl_file_extensions = ".id"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        area, region = context.area, context.region
        return bool(area and region) and area.type == "VIEW_3D" and region.type == "WINDOW"


CLASSES = (
    ID3D_OT_add_photos,
    ID3D_OT_remove_photo,
    ID3D_OT_use_identity,
    ID3D_OT_again,
    ID3D_MT_identities,
    ID3D_FH_photos,
    ID3D_FH_identity,
)


def _add(context: bpy.types.Context, paths: list[str]) -> None:
    """Paths that are not in the list yet; the last one becomes the active one."""
    settings = context.scene.id3d
    known = {photo.path for photo in settings.photos}
    for path in paths:
        if path not in known:
            settings.photos.add().path = path
    settings.active_photo = len(settings.photos) - 1
