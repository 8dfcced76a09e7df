"""What the panel edits (`Scene.id3d`) and what a running job shows (`WindowManager.id3d`)."""

import bpy
from bpy.props import (
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


class ID3D_PG_photo(bpy.types.PropertyGroup):
    """One photo, or one identity file."""

    path: StringProperty(name="Path", subtype="FILE_PATH")


class ID3D_PG_settings(bpy.types.PropertyGroup):
    """The next head's settings, one a scene."""

    photos: CollectionProperty(type=ID3D_PG_photo)
    active_photo: IntProperty()
    text: StringProperty(
        name="Text", description="What the photos do not say, for example: with short curly hair"
    )
    preset: EnumProperty(name="Preset", items=PRESETS, default="draft", description="Time against quality")
    seed: IntProperty(name="Seed", min=0, description="The same seed and photos give the same head")


class ID3D_PG_progress(bpy.types.PropertyGroup):
    """The running job, for drawing."""

    fraction: FloatProperty(min=0.0, max=1.0)
    text: StringProperty()


CLASSES = (ID3D_PG_photo, ID3D_PG_settings, ID3D_PG_progress)


def attach() -> None:
    """Add `Scene.id3d` and `WindowManager.id3d`."""
    bpy.types.Scene.id3d = PointerProperty(type=ID3D_PG_settings)
    bpy.types.WindowManager.id3d = PointerProperty(type=ID3D_PG_progress)


def detach() -> None:
    """Undo `attach`."""
    del bpy.types.WindowManager.id3d
    del bpy.types.Scene.id3d
