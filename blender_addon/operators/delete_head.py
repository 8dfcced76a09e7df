"""Delete a head with its hair: Blender's own Delete takes only what is selected."""

import bpy

from ...id3d_engine.blender_scene.hair import hair_of
from ..heads import active_head, why_not


class ID3D_OT_delete_head(bpy.types.Operator):
    """Delete the active head together with its hair"""

    bl_idname = "id3d.delete_head"
    bl_label = "Delete Head and Hair"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if reason := why_not(context, "delete"):
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        head = active_head(context)
        name, things = head.name, [head, *hair_of(head)]
        data = [thing.data for thing in things if thing.data.users == 1]
        emptied = [
            collection
            for collection in head.users_collection
            if collection != context.scene.collection
            and not collection.children
            and set(collection.objects) <= set(things)
        ]
        bpy.data.batch_remove([*things, *data, *emptied])
        self.report({"INFO"}, f"{name} is deleted")
        return {"FINISHED"}


CLASSES = (ID3D_OT_delete_head,)
