"""ID3D as a Blender extension. The code is in `blender_addon/`, the engine in `id3d_engine/`.

The imports are inside the functions because test runners import this file too, without Blender.
`api`, for scripts, is `blender_addon/api.py`.
"""


def register() -> None:
    """Called by Blender when the extension is enabled."""
    from .blender_addon import register

    register()


def unregister() -> None:
    """Called by Blender when the extension is disabled."""
    from .blender_addon import unregister

    unregister()


def __getattr__(name: str) -> object:
    if name == "api":
        from .blender_addon import api

        return api
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
