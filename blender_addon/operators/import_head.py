"""A head bundle into the scene: the one step that undo takes back."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...id3d_engine.blender_scene.bundle import read_bundle
from ...id3d_engine.blender_scene.hair import hair_of
from ...id3d_engine.blender_scene.head import build_head
from ...id3d_engine.errors import InputError
from .. import bundles, framing
from ..heads import expression_keys

_BESIDE = "textures"  # where Blender itself puts what it unpacks


class ID3D_OT_import_head(bpy.types.Operator):
    """Add a head that was made before: choose its NAME.head folder"""

    bl_idname = "id3d.import_head"
    bl_label = "Import Head"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    directory: StringProperty(name="Head", description="A NAME.head folder", subtype="DIR_PATH")
    maps: EnumProperty(
        name="Maps",
        items=(
            ("PACK", "Packed", "Keep the maps inside the .blend file"),
            (
                "BESIDE",
                "Beside the .blend",
                "Copy the maps to a textures folder beside the saved .blend file",
            ),
        ),
        description="Where the head's textures are kept",
    )
    frame: BoolProperty(
        name="Move the View",
        default=True,
        description="Move viewports in which the head would be out of sight or a speck",
        options={"SKIP_SAVE"},
    )
    instead_of: StringProperty(
        name="Instead of",
        subtype="DIR_PATH",
        description="The NAME.head of a head in view: the new one takes its place, and it is hidden",
        options={"SKIP_SAVE"},
    )
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode == "OBJECT":
            return True
        cls.poll_message_set("Switch to Object Mode to add a head")
        return False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if self.maps == "BESIDE" and not bpy.data.filepath:
            self.report({"ERROR"}, "Save the .blend file first, or pack the maps into it")
            return {"CANCELLED"}
        folder = Path(bpy.path.abspath("//")) / _BESIDE if self.maps == "BESIDE" else None
        directory = Path(bpy.path.abspath(self.directory))
        old = bundles.head_of(Path(bpy.path.abspath(self.instead_of)), context) if self.instead_of else None
        try:
            bundle = read_bundle(directory)
            head = build_head(bundle, context.scene, folder)
        except InputError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        bundles.remember(head, directory.parent if directory.name == "head.json" else directory)
        for selected in context.selected_objects:
            selected.select_set(False)
        head.select_set(True)
        context.view_layer.objects.active = head
        if old is not None:
            context.view_layer.update()  # a script may have moved the old one just now
            _take_place(head, old)
        elif self.frame:
            framing.frame(context.scene, head)
        self.report({"INFO"}, f"{head.name}: {len(bundle.names)} shape keys")
        return {"FINISHED"}


def _take_place(head: bpy.types.Object, old: bpy.types.Object) -> None:
    """Stand where `old` stands, with its face, and hide it; nothing else of it changes."""
    head.parent, head.parent_type, head.parent_bone = old.parent, old.parent_type, old.parent_bone
    head.matrix_parent_inverse = old.matrix_parent_inverse
    head.matrix_world = old.matrix_world
    values = {key.name: key.value for key in expression_keys(old)}
    for key in expression_keys(head):
        key.value = values.get(key.name, 0.0)
    for thing in (old, *hair_of(old)):
        thing.hide_set(True)
        thing.hide_render = True


CLASSES = (ID3D_OT_import_head,)


def attach() -> None:
    """Add the entry to File, Import."""
    bpy.types.TOPBAR_MT_file_import.append(_menu)


def detach() -> None:
    """Undo `attach`."""
    bpy.types.TOPBAR_MT_file_import.remove(_menu)


def _menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(ID3D_OT_import_head.bl_idname, text="ID3D Head (.head)")
