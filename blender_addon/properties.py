"""What the panel edits (`Scene.id3d`) and what a running job shows (`WindowManager.id3d`)."""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

PRESETS = (
    ("draft", "Draft", "Minutes on a CPU: likeness and expressions, little detail"),
    ("standard", "Standard", "More steps and larger maps"),
    ("high", "High", "For a GPU: all the detail that the prior has"),
)
MESHES = (
    ("fine", "Fine", "20,000 vertices, smooth up close"),
    ("template", "Light", "5,000 vertices, for games or a Subdivision modifier of your own"),
)
TARGETS = (
    ("both", "Both", "Shape and skin"),
    ("geometry", "Shape", "The mesh and its expressions; the maps stay"),
    ("texture", "Skin", "The maps; the mesh and its expressions stay"),
)
WORDS = "It knows words for age, sex, build, hair, beard, brows, eyes, skin, freckles, wrinkles and make-up"
# The engine's 13 expressions, in its order.
EXPRESSIONS = (
    ("mouth_stretch", "Mouth Stretch", "Mouth wide open, jaw dropped"),
    ("smile", "Smile", "A smile with the mouth closed"),
    ("brow_lower", "Brow Lower", "Brows lowered and drawn together"),
    ("brow_raiser", "Brow Raiser", "Brows raised high"),
    ("anger", "Anger", "Brows down, nose wrinkled, lips pressed"),
    ("jaw_left", "Jaw Left", "Jaw shifted to the left"),
    ("jaw_right", "Jaw Right", "Jaw shifted to the right"),
    ("lip_puckerer", "Lip Puckerer", "Lips puckered as for a kiss"),
    ("lip_funneler", "Lip Funneler", "Lips in an open, round O"),
    ("sadness", "Sadness", "Inner brows raised, corners of the mouth down"),
    ("grin", "Grin", "A broad grin that shows the teeth"),
    ("cheek_blowing", "Cheek Blowing", "Cheeks puffed out"),
    ("eyes_closed", "Eyes Closed", "Both eyes closed"),
)


class ID3D_PG_photo(bpy.types.PropertyGroup):
    """One photo, or one identity file."""

    path: StringProperty(name="Path", subtype="FILE_PATH")


class ID3D_PG_settings(bpy.types.PropertyGroup):
    """The next head's settings, one a scene."""

    photos: CollectionProperty(type=ID3D_PG_photo)
    active_photo: IntProperty(name="Active Photo", options={"HIDDEN"})
    text: StringProperty(
        name="Text",
        description=f"What the photos do not say, for example: with short curly hair. {WORDS}",
    )
    change: StringProperty(
        name="Text",
        description=f"What should change, for example: with a full beard, or: as an old woman. {WORDS}",
    )
    target: EnumProperty(
        name="Change", items=TARGETS, default="both", description="What of the head may change"
    )
    same_person: BoolProperty(
        name="Person of the Photos Above",
        description="The new head keeps to the person of the photos above. Off: to that of the photos that "
        "the head was made from, where these are known",
    )
    preset: EnumProperty(name="Preset", items=PRESETS, default="draft", description="Time against quality")
    seed: IntProperty(name="Seed", min=0, description="The same seed and photos give the same head")
    topology: EnumProperty(name="Mesh", items=MESHES, default="fine", description="How fine the head is")
    all_expressions: BoolProperty(
        name="All 13 Expressions", default=True, description="Off: choose them; fewer take less time"
    )
    chosen: EnumProperty(
        name="Expressions",
        items=EXPRESSIONS,
        options={"ENUM_FLAG"},
        default={"smile", "eyes_closed"},
        description="Sculpted for this person; the 52 ARKit shapes are always there",
    )

    def expressions(self) -> str:
        """The chosen ones as the engine takes them: `all`, or names with commas between them."""
        if self.all_expressions:
            return "all"
        return ",".join(name for name, *_ in EXPRESSIONS if name in self.chosen)

    def choose(self, names: str) -> None:
        """Take back what `expressions` gave; names that this version does not know are left out."""
        known = [name for name, *_ in EXPRESSIONS]
        chosen = set(known if names == "all" else names.split(",")) & set(known)
        self.all_expressions = len(chosen) == len(known)
        self.chosen = chosen


class ID3D_PG_progress(bpy.types.PropertyGroup):
    """The running job, for drawing and for scripts: `text` is empty while none runs."""

    fraction: FloatProperty(name="Fraction of This Stage", min=0.0, max=1.0)
    text: StringProperty(name="Progress")


CLASSES = (ID3D_PG_photo, ID3D_PG_settings, ID3D_PG_progress)


def attach() -> None:
    """Add `Scene.id3d` and `WindowManager.id3d`."""
    bpy.types.Scene.id3d = PointerProperty(type=ID3D_PG_settings)
    bpy.types.WindowManager.id3d = PointerProperty(type=ID3D_PG_progress)


def detach() -> None:
    """Undo `attach`."""
    del bpy.types.WindowManager.id3d
    del bpy.types.Scene.id3d
