"""The extension's preferences, and the two places that depend on them."""

import sys
from pathlib import Path

import bpy
from bpy.props import StringProperty

# The extension's own name (bl_ext.REPOSITORY.id3d), under which Blender keeps its preferences and
# files. This sub-package's name is not it.
from .. import __package__ as extension


class ID3D_AP_preferences(bpy.types.AddonPreferences):
    """Shown in Preferences, Add-ons, ID3D."""

    bl_idname = extension

    python: StringProperty(
        name="Engine's Python",
        subtype="FILE_PATH",
        description=(
            "A Python 3.11 to 3.13 with the engine's packages (pip install id3d-engine). "
            "Empty: the Python that Blender runs on"
        ),
    )
    heads: StringProperty(
        name="Heads folder",
        subtype="DIR_PATH",
        description="Where generated heads are kept. Empty: the extension's own user folder",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "python")
        layout.operator("id3d.check_engine", icon="CHECKMARK")
        layout.prop(self, "heads")


CLASSES = (ID3D_AP_preferences,)


def preferences(context: bpy.types.Context) -> ID3D_AP_preferences:
    """This extension's preferences."""
    return context.preferences.addons[extension].preferences


def engine_python(context: bpy.types.Context) -> str:
    """The Python that runs the engine."""
    chosen = preferences(context).python
    return bpy.path.abspath(chosen) if chosen else sys.executable


def user_folder(name: str) -> Path:
    """A folder of the extension that survives its updates."""
    return Path(bpy.utils.extension_path_user(extension, path=name, create=True))


def heads_folder(context: bpy.types.Context) -> Path:
    """Where new heads go."""
    chosen = preferences(context).heads
    return Path(bpy.path.abspath(chosen)) if chosen else user_folder("heads")
