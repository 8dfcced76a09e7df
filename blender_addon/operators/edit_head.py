"""Change Head: run the engine on the active head and a text, then put what it made in the head's place.

The old head stays as it is, in the scene (hidden) and on the disk.
"""

from __future__ import annotations

import re
from pathlib import Path

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from .. import bundles, job
from ..engine import claim_name
from ..heads import active_head
from ..job_notes import Notes, Request
from ..preferences import preferences, user_folder
from ..properties import PRESETS, TARGETS, WORDS
from .generate_head import NEEDS_LOCAL, Making

IDENTITY = "identity.safetensors"  # in bundles that keep their person's


def problem(context: bpy.types.Context) -> str:
    """Why the active head cannot be changed, as a sentence; empty if it can."""
    head = active_head(context)
    if head is None:
        return "Select a head first"
    if preferences(context).engine == "REMOTE":
        return NEEDS_LOCAL
    if bundles.bundle_of(head) is None:
        return f"Where {head.name} was read from is not known here: import its NAME.head folder"
    return ""


class ID3D_OT_edit_head(Making, bpy.types.Operator):
    """Make a new head of the active one, by the text and the preset and seed above; the old one is hidden"""

    bl_idname = "id3d.edit_head"
    bl_label = "Change Head"
    bl_options = {"REGISTER"}  # noqa: RUF012 (undo belongs to the import at the end)

    text: StringProperty(name="Text", description=f"What should change. {WORDS}")
    target: EnumProperty(name="Change", items=TARGETS, default="both", description="What may change")
    preset: EnumProperty(name="Preset", items=PRESETS, default="draft", description="Time against quality")
    seed: IntProperty(name="Seed", min=0, description="The same seed, head and text give the same head")
    photos: StringProperty(
        name="Photos",
        description="Of the person, paths, one a line; empty: those that the head was made from, if known",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        sentence = problem(context)
        if sentence:
            cls.poll_message_set(sentence)
        return not sentence

    def _start(self, context: bpy.types.Context) -> job.Job | None:
        head = active_head(context)
        bundle = bundles.bundle_of(head)
        if not self.text.strip():
            return self._refuse("Say what should change, for example: with a full beard")
        if not bundles.is_there(head, bundle):
            return self._refuse(f"{bundle} is gone or was made anew: import the head from where it is now")
        try:
            out = claim_name(bundle.parent, _stem(bundle))
        except OSError as error:
            return self._refuse(
                f"{bundle.parent} cannot be written ({error}): import the head from another folder"
            )
        settings = {"text": self.text, "preset": self.preset, "seed": self.seed}
        request = Request(str(out), self._photos(bundle), **settings, target=self.target, head=str(bundle))
        return self._begin(context, request, resume=False)

    def _photos(self, bundle: Path) -> tuple[str, ...]:
        if self.photos:
            paths = [Path(bpy.path.abspath(path)) for path in self.photos.splitlines()]
            return tuple(str(path.resolve()) for path in paths)
        made = Notes(user_folder("jobs")).read(bundle)
        if made is None or (bundle / IDENTITY).is_file():
            return ()
        return tuple(path for path in made.photos if Path(path).is_file())


CLASSES = (ID3D_OT_edit_head,)


def _stem(bundle: Path) -> str:
    """`anna-edit` for `anna.head`, and for what was made of it before."""
    name = bundle.name.removesuffix(".head")
    return f"{re.sub(r'-edit-[0-9]+$', '', name)}-edit"
