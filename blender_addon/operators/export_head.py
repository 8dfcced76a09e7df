"""The active head, and nothing else, as a file for other programs."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...id3d_engine.blender_scene.export import export_head
from ...id3d_engine.blender_scene.formats import ENDINGS
from ...id3d_engine.errors import Id3dError
from ..heads import active_head


class ID3D_OT_export_head(bpy.types.Operator):
    """Write the active head with its named shape keys and maps; modifiers are not applied"""

    bl_idname = "id3d.export_head"
    bl_label = "Export Head"
    bl_options = {"REGISTER"}  # noqa: RUF012

    filepath: StringProperty(name="File", subtype="FILE_PATH", description="The file to write")
    check_existing: BoolProperty(default=True, options={"HIDDEN"})
    format: EnumProperty(
        name="Format",
        items=(
            ("glb", "glTF (.glb)", "One file for the web, game engines and most viewers"),
            ("fbx", "FBX", "For game engines and other 3D programs"),
            ("usd", "USD", "For film pipelines; textures go into a folder beside the file"),
        ),
        description="The kind of file",
    )
    animation: BoolProperty(
        name="Animation", default=True, description="Also write the head's animation, if it has any"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = active_head(context)
        if head is None:
            cls.poll_message_set("Select a head first")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode to export a head")
        elif not head.visible_get():
            cls.poll_message_set("The head is hidden: show it to export it")
        else:
            return True
        return False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        folder = Path(bpy.path.abspath("//")) if bpy.data.filepath else Path.home()
        self.filepath = str(folder / bpy.path.clean_name(active_head(context).name))
        self.check(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """Let the name in the file browser end as the format asks."""
        path = Path(self.filepath)
        if not path.name or path.suffix.lower() in ENDINGS[self.format]:
            return False
        known = {ending for endings in ENDINGS.values() for ending in endings}
        stem = path.stem if path.suffix.lower() in known else path.name
        self.filepath = str(path.with_name(stem + ENDINGS[self.format][0]))
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        path = Path(bpy.path.abspath(self.filepath))
        if not path.parent.is_dir():
            self.report({"ERROR"}, f"There is no folder {path.parent}: choose one that exists")
            return {"CANCELLED"}
        try:
            export_head(context, active_head(context), path, self.format, animation=self.animation)
        except Id3dError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{path} is written")
        return {"FINISHED"}


CLASSES = (ID3D_OT_export_head,)
