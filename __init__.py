"""ID3D as a Blender extension. The code is in `blender_addon/`, the engine in `id3d_engine/`.

The imports are inside the functions because test runners import this file too, without Blender.
"""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from .blender_addon import register

    register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from .blender_addon import unregister

    unregister()
