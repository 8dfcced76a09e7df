"""The active head in the Asset Browser, with a rendered thumbnail, and out of it again."""

import bpy
from bpy.props import BoolProperty, StringProperty

from ..heads import active_head, expression_keys, why_not
from ..thumbnail import set_thumbnail

_TAGS = ("head", "expressions")
_ARKIT_TAG, _ARKIT_KEY = "ARKit", "jawOpen"


class ID3D_OT_mark_asset(bpy.types.Operator):
    """Mark the head as an asset with a rendered thumbnail, so that the Asset Browser shows it"""

    bl_idname = "id3d.mark_asset"
    bl_label = "Mark as Asset"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    author: StringProperty(name="Author", description="Who made the head")
    license: StringProperty(name="License", description="What others may do with the head, for example CC0")
    text: StringProperty(name="Description", description="A line about the head; empty: where it comes from")
    thumbnail: BoolProperty(name="Thumbnail", default=True, description="Render a small picture with Cycles")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if reason := why_not(context, "mark"):
            cls.poll_message_set(reason)
        return not reason

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = active_head(context)
        head.asset_mark()
        data = head.asset_data
        data.author, data.license = self.author, self.license
        data.description = self.text or _origin(head)
        for tag in _tags(head):
            data.tags.new(tag, skip_if_exists=True)
        if self.thumbnail:
            try:
                set_thumbnail(head)
            except RuntimeError as error:
                self.report({"WARNING"}, f"{head.name} is an asset without a thumbnail: {error}")
        return {"FINISHED"}


class ID3D_OT_clear_asset(bpy.types.Operator):
    """Take the head out of the Asset Browser; the head itself stays"""

    bl_idname = "id3d.clear_asset"
    bl_label = "Clear Asset"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        head = active_head(context)
        if head is not None and head.asset_data is not None and head.library is None:
            return True
        cls.poll_message_set("Select a head that is marked as an asset first")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        active_head(context).asset_clear()
        return {"FINISHED"}


CLASSES = (ID3D_OT_mark_asset, ID3D_OT_clear_asset)


def _tags(head: bpy.types.Object) -> tuple[str, ...]:
    names = {key.name for key in expression_keys(head)}
    return (*_TAGS, _ARKIT_TAG) if _ARKIT_KEY in names else _TAGS


def _origin(head: bpy.types.Object) -> str:
    facts = {
        "text": head.get("id3d_text"),
        "prior": head.get("id3d_prior"),
        "seed": head.get("id3d_seed"),
    }
    told = ", ".join(f"{name} {value}" for name, value in facts.items() if value not in (None, ""))
    return f"Made with ID3D{': ' + told if told else ''}"
