"""Light the active head: four set-ups, their removal, and a turntable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..heads import active_head
from ..lighting import SETUPS, add_lights, remove_lights, setup_of
from ..turntable import add_turntable, remove_turntable, turntable_of


class _AroundHead:
    """What an operator needs that places things around the active head."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's own convention)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if active_head(context) is None:
            cls.poll_message_set("Select a head first")
        elif context.mode != "OBJECT":
            cls.poll_message_set("Switch to Object Mode first")
        else:
            return True
        return False


class ID3D_OT_light(_AroundHead, bpy.types.Operator):
    """Light the head; the scene's own lights are hidden until the set-up is removed"""

    bl_idname = "id3d.light"
    bl_label = "Light Head"

    setup: EnumProperty(
        name="Set-up",
        items=[(key, setup.label, setup.description) for key, setup in SETUPS.items()],
        description="Where the light comes from",
    )
    strength: FloatProperty(
        name="Strength", default=1.0, min=0.0, soft_max=4.0, description="Factor on all lights of the set-up"
    )
    world: BoolProperty(
        name="Replace World",
        default=True,
        description="Use an even grey world until the set-up is removed, then the scene's own again",
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: ID3D_OT_light) -> str:
        return f"{SETUPS[properties.setup].description}. The scene's own lights are hidden until its removal"

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.view_layer.update()  # a script may have moved the head just now
        add_lights(active_head(context), context.scene, self.setup, strength=self.strength, world=self.world)
        return {"FINISHED"}


class ID3D_OT_remove_light(bpy.types.Operator):
    """Remove the light set-up; the scene's own lights and world come back"""

    bl_idname = "id3d.remove_light"
    bl_label = "Remove Light Set-up"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if setup_of(context.scene) is not None and context.mode == "OBJECT":
            return True
        cls.poll_message_set("There is no light set-up in this scene, or it is not in Object Mode")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        remove_lights(context.scene)
        return {"FINISHED"}


class ID3D_OT_add_turntable(_AroundHead, bpy.types.Operator):
    """Add a camera that goes once around the head; the scene's own camera stays in use"""

    bl_idname = "id3d.add_turntable"
    bl_label = "Add Turntable"

    frames: IntProperty(
        name="Frames", default=96, min=2, soft_max=500, description="Frames of one turn around the head"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.view_layer.update()
        add_turntable(active_head(context), context.scene, self.frames)
        return {"FINISHED"}


class _WithTurntable:
    """What an operator needs that uses the turntable."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if turntable_of(context.scene) is not None and context.mode == "OBJECT":
            return True
        cls.poll_message_set("Add a turntable first, and switch to Object Mode")
        return False


class ID3D_OT_remove_turntable(_WithTurntable, bpy.types.Operator):
    """Remove the turntable's camera and its animation"""

    bl_idname = "id3d.remove_turntable"
    bl_label = "Remove Turntable"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: bpy.types.Context) -> set[str]:
        remove_turntable(context.scene)
        return {"FINISHED"}


class ID3D_OT_render_turntable(_WithTurntable, bpy.types.Operator):
    """Render one turn with the scene's render settings into a folder"""

    bl_idname = "id3d.render_turntable"
    bl_label = "Render Turntable"
    bl_options = {"REGISTER"}  # noqa: RUF012

    directory: StringProperty(name="Folder", subtype="DIR_PATH", description="Where the pictures go")
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.in_window = True
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = Path(bpy.path.abspath(self.directory))
        if not self.directory or not folder.is_dir():
            self.report({"ERROR"}, f"There is no folder {self.directory!r}: choose where the pictures go")
            return {"CANCELLED"}
        restore = _aim_render(context.scene, folder)
        if getattr(self, "in_window", False):
            _after_render(restore)
            bpy.ops.render.render("INVOKE_DEFAULT", animation=True)
            return {"FINISHED"}
        try:
            bpy.ops.render.render(animation=True)
        except RuntimeError as error:
            self.report({"ERROR"}, " ".join(str(error).split()).removeprefix("Error: "))
            return {"CANCELLED"}
        finally:
            restore()
        return {"FINISHED"}


CLASSES = (
    ID3D_OT_light,
    ID3D_OT_remove_light,
    ID3D_OT_add_turntable,
    ID3D_OT_remove_turntable,
    ID3D_OT_render_turntable,
)


def _aim_render(scene: bpy.types.Scene, folder: Path) -> Callable[[], None]:
    """Let the scene's render be the turntable's, until the returned function is called."""
    camera, start, frames = turntable_of(scene)
    name, filepath, before = scene.name, scene.render.filepath, scene.camera
    former = {key: getattr(scene, key) for key in ("frame_start", "frame_end", "frame_step")}
    frame = scene.frame_current

    def restore() -> None:
        # By name: a render takes its time, and undo meanwhile replaces what Python held.
        scene = bpy.data.scenes.get(name)
        if scene is None:
            return
        scene.render.filepath = filepath
        scene.camera = bpy.data.objects.get(former_camera) if former_camera else None
        for key, value in former.items():
            setattr(scene, key, value)
        scene.frame_set(frame)

    former_camera = before.name if before is not None else ""
    scene.camera, scene.frame_step = camera, 1
    scene.frame_start, scene.frame_end = start, start + frames - 1
    scene.render.filepath = str(folder / "turntable_")
    return restore


def _after_render(restore: Callable[[], None]) -> None:
    """Call `restore` once, when the render that begins now is done or cancelled."""
    lists = (bpy.app.handlers.render_complete, bpy.app.handlers.render_cancel)

    def ended(*_: object) -> None:
        for handlers in lists:
            if ended in handlers:
                handlers.remove(ended)
        # Not from the handler itself, which may run while the renderer still reads the scene.
        bpy.app.timers.register(restore, first_interval=0.0)

    for handlers in lists:
        handlers.append(ended)
