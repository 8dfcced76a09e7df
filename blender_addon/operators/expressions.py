"""Expressions of the active head: set them, key them, animate them."""

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ...id3d_engine.errors import InputError
from ..animation import values
from ..animation.actions import assign_action, replace_action
from ..animation.example import example_curves
from ..animation.livelink import read_recording
from ..animation.names import region
from ..heads import active_head, expression_keys


class _OnHead:
    """What every operator here needs: an active head that may be edited."""

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's own convention)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = active_head(context)
        if head is None:
            cls.poll_message_set("Select a head with expressions first")
        elif head.data.shape_keys.library is not None:
            cls.poll_message_set("This head is linked: make a library override of it first")
        else:
            return True
        return False


class ID3D_OT_reset_expressions(_OnHead, bpy.types.Operator):
    """Set all expressions of the head to 0"""

    bl_idname = "id3d.reset_expressions"
    bl_label = "Reset"

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = active_head(context)
        values.write(head, values.neutral(head), context.scene)
        return {"FINISHED"}


class ID3D_OT_mirror_expressions(_OnHead, bpy.types.Operator):
    """Swap left and right: the pose of the face as in a mirror; keyframes stay as they are"""

    bl_idname = "id3d.mirror_expressions"
    bl_label = "Mirror"

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = active_head(context)
        values.write(head, values.mirrored(head), context.scene)
        return {"FINISHED"}


class ID3D_OT_blend_expressions(_OnHead, bpy.types.Operator):
    """Set two expressions between all of the first and all of the second; others stay"""

    bl_idname = "id3d.blend_expressions"
    bl_label = "Blend Expressions"

    first: StringProperty(name="From", default="smile")
    second: StringProperty(name="To", default="anger")
    factor: FloatProperty(name="Factor", min=0.0, max=1.0, default=0.5, subtype="FACTOR")

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = active_head(context)
        names = {key.name for key in expression_keys(head)}
        for name in (self.first, self.second):
            if name not in names:
                self.report(
                    {"ERROR"}, f"{head.name} has no expression {name!r}: choose one of its shape keys"
                )
                return {"CANCELLED"}
        values.write(head, values.blended(self.first, self.second, self.factor), context.scene)
        return {"FINISHED"}


class ID3D_OT_toggle_favourite(_OnHead, bpy.types.Operator):
    """Add this expression to the favourites, or take it off"""

    bl_idname = "id3d.toggle_favourite"
    bl_label = "Favourite"

    name: StringProperty(name="Name", description="The shape key")

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.id3d_expressions.toggle(self.name)
        return {"FINISHED"}


class ID3D_OT_key_expressions(_OnHead, bpy.types.Operator):
    """Insert keyframes of the head's expressions at the current frame"""

    bl_idname = "id3d.key_expressions"
    bl_label = "Insert Keyframes"

    which: EnumProperty(
        name="Which",
        items=(
            ("ALL", "All", "The whole face, so that no other pose shows through"),
            ("NONZERO", "Not Zero", "Only expressions that are above 0 now"),
            ("FAVOURITES", "Favourites", "Only the favourites of the panel"),
        ),
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        keys = expression_keys(active_head(context))
        if self.which == "NONZERO":
            keys = [key for key in keys if key.value != 0.0]
        elif self.which == "FAVOURITES":
            favourites = context.scene.id3d_expressions.names()
            keys = [key for key in keys if key.name in favourites]
        if not keys:
            self.report({"ERROR"}, "No expression to key: raise a slider first, or key all of them")
            return {"CANCELLED"}
        for key in keys:
            key.keyframe_insert("value", frame=context.scene.frame_current_final)
        self.report({"INFO"}, f"{len(keys)} expressions keyed")
        return {"FINISHED"}


class ID3D_OT_example_animation(_OnHead, bpy.types.Operator):
    """Let the head show some of its expressions, with blinks between them, as a new Action"""

    bl_idname = "id3d.example_animation"
    bl_label = "Example Animation"

    start_frame: IntProperty(name="Start Frame", default=1)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = active_head(context)
        names = [key.name for key in expression_keys(head)]
        curves, end = example_curves(names, self.start_frame, _rate(context.scene))
        assign_action(head, f"{head.name} Example", curves, "BEZIER")
        self.report({"INFO"}, f"Frames {self.start_frame} to {end}: press the space bar to play")
        return {"FINISHED"}


class ID3D_OT_import_live_link(_OnHead, bpy.types.Operator):
    """Play a Live Link Face recording (CSV) on the head, as a new Action"""

    bl_idname = "id3d.import_live_link"
    bl_label = "Import Live Link Face"

    filepath: StringProperty(name="File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.csv", options={"HIDDEN"})
    start_frame: IntProperty(name="Start Frame", default=1, description="Where the recording begins")
    recorded_rate: FloatProperty(
        name="Recorded Rate",
        min=0.0,
        max=240.0,
        description="Frames a second of the recording's timecodes; 0 reads it off them",
    )
    extend_scene: BoolProperty(
        name="Extend Scene", description="Move the scene's last frame if the recording ends after it"
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        head, scene = active_head(context), context.scene
        path = Path(bpy.path.abspath(self.filepath))
        try:
            recording = read_recording(path, self.recorded_rate)
            count, columns = recording.resample(_rate(scene))
            tracks, notes = _tracks(head, columns, path)
        except InputError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        frames = range(self.start_frame, self.start_frame + count)
        curves = {name: (frames, track) for name, track in tracks.items()}
        assign_action(head, path.stem, curves, "LINEAR")
        if self.extend_scene:
            scene.frame_end = max(scene.frame_end, frames[-1])
        if recording.skipped:
            notes.append(f"left out {recording.skipped} row(s) without a face or out of order")
        text = f"{len(curves)} expressions on frames {frames[0]} to {frames[-1]}"
        self.report({"INFO"}, "; ".join([text, *notes]))
        return {"FINISHED"}


class ID3D_OT_remove_animation(_OnHead, bpy.types.Operator):
    """Take the Action off the head, which becomes neutral; the Action stays in the file"""

    bl_idname = "id3d.remove_animation"
    bl_label = "Remove Animation"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        animation = active_head(context).data.shape_keys.animation_data
        if animation is None or animation.action is None:
            cls.poll_message_set("This head has no animation")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = active_head(context)
        replace_action(head, None)
        for key in expression_keys(head):
            key.value = 0.0
        return {"FINISHED"}


CLASSES = (
    ID3D_OT_reset_expressions,
    ID3D_OT_mirror_expressions,
    ID3D_OT_blend_expressions,
    ID3D_OT_toggle_favourite,
    ID3D_OT_key_expressions,
    ID3D_OT_example_animation,
    ID3D_OT_import_live_link,
    ID3D_OT_remove_animation,
)


def _rate(scene: bpy.types.Scene) -> float:
    """Frames a second."""
    return scene.render.fps / scene.render.fps_base


def _tracks(
    head: bpy.types.Object, columns: dict[str, list[float]], path: Path
) -> tuple[dict[str, list[float]], list[str]]:
    """The head's shape keys with their columns, matched without regard to case; notes on what is left."""
    keys = {key.name.lower(): key.name for key in expression_keys(head)}
    tracks = {keys[name.lower()]: track for name, track in columns.items() if name.lower() in keys}
    if not tracks:
        raise InputError(f"{path.name} has no column that is named like a shape key of {head.name}")
    extra = [name for name in columns if name.lower() not in keys]
    missing = [name for name in keys.values() if region(name) and name not in tracks]
    notes = [f"no shape key for {_listed(extra)}"] if extra else []
    notes += [f"no column for {_listed(missing)}"] if missing else []
    return tracks, notes


def _listed(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
