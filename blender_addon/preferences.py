"""The extension's preferences, and the few questions that depend on them."""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

# The extension's own name (bl_ext.REPOSITORY.id3d), under which Blender keeps its preferences and
# files. This sub-package's name is not it.
from .. import __package__ as extension
from .engine import ROOT
from .setup_engine import ABSENT, BROKEN, OUTDATED, PARTIAL, READY, python_of, requirements_of, state_of

ENGINES = (
    ("HERE", "Set Up Here", "An environment of its own, which Set Up Engine makes"),
    ("PYTHON", "A Python of Yours", "A Python 3.11 to 3.13 that has the engine's packages"),
    ("REMOTE", "Remote Engine", "Another machine computes; the identity is sent, photos are not"),
)
DEVICES = (
    ("auto", "Automatic", "The NVIDIA GPU if there is one, else the processor"),
    ("cpu", "CPU", "The processor"),
    ("cuda", "CUDA", "An NVIDIA GPU"),
    ("mps", "Metal", "The GPU of a Mac"),
)
LOGS = (
    ("NORMAL", "Normal", "What the engine says"),
    ("DEBUG", "Everything", "Where in the code an error came from, too"),
)
_STATES = {
    ABSENT: "The engine is not set up yet",
    PARTIAL: "The engine is set up in part: press the button to go on",
    OUTDATED: "This version of ID3D needs newer packages",
    BROKEN: "The Python that the engine was set up with is gone",
}


def _use_own_python(self: ID3D_AP_preferences, context: bpy.types.Context) -> None:
    if self.python and self.engine == "HERE":
        self.engine = "PYTHON"


class ID3D_AP_preferences(bpy.types.AddonPreferences):
    """Shown in Preferences, Add-ons, ID3D."""

    bl_idname = extension

    engine: EnumProperty(name="Engine", items=ENGINES, default="HERE", description="What computes heads")
    python: StringProperty(
        name="Engine's Python",
        subtype="FILE_PATH",
        update=_use_own_python,
        description=(
            "A Python 3.11 to 3.13 with the engine's packages (pip install id3d-engine). "
            "Empty: the Python that Blender runs on"
        ),
    )
    address: StringProperty(name="Address", description="As https://host:port")
    key: StringProperty(
        name="Key",
        subtype="PASSWORD",
        description="If the server asks for one. Blender keeps it unencrypted in its preferences",
    )
    send_photos: BoolProperty(
        name="Photos May Be Sent",
        description=(
            "Off: a local engine reads the photos and only the identity (numbers) is sent. "
            "On: the photos themselves go to the remote machine"
        ),
    )
    device: EnumProperty(name="Device", items=DEVICES, default="auto", description="What the engine runs on")
    prior: StringProperty(
        name="Prior",
        subtype="DIR_PATH",
        description=(
            "What knows heads: a prior's folder, as id3d models assemble or id3d train make it. "
            "Empty: the one that comes with ID3D"
        ),
    )
    compile: BoolProperty(
        name="Compile Networks",
        description="Try torch.compile: it takes minutes at first, and pays in long jobs (Standard and High)",
    )
    heads: StringProperty(
        name="Heads Folder",
        subtype="DIR_PATH",
        description="Where generated heads are kept. Empty: datafiles/id3d/heads in Blender's user folder",
    )
    log_level: EnumProperty(name="Log", items=LOGS, default="NORMAL", description="What goes into the log")

    def draw(self, context: bpy.types.Context) -> None:
        # Not at the top: what it draws are operators, which ask these preferences.
        from .preferences_ui import draw_preferences

        draw_preferences(self, context)


CLASSES = (ID3D_AP_preferences,)


def preferences(context: bpy.types.Context) -> ID3D_AP_preferences:
    """This extension's preferences."""
    return context.preferences.addons[extension].preferences


def user_folder(name: str) -> Path:
    """A folder of the extension that survives its updates; removing the extension deletes it."""
    return Path(bpy.utils.extension_path_user(extension, path=name, create=True))


def heads_folder(context: bpy.types.Context) -> Path:
    """Where new heads go; not `user_folder`: heads are the user's work and outlive the extension."""
    if chosen := preferences(context).heads:
        return Path(bpy.path.abspath(chosen))
    return Path(bpy.utils.user_resource("DATAFILES", path="id3d/heads", create=True))


def identities_folder() -> Path:
    """Where identities (`.id` files; never photos) are kept."""
    return user_folder("identities")


def engine_folder() -> Path:
    """Where Set Up Engine works."""
    return user_folder("engine")


def engine_requirements() -> tuple[str, ...]:
    """What Set Up Engine installs."""
    return requirements_of(ROOT / "pyproject.toml")


def engine_state() -> str:
    """How far Set Up Engine is: one of `setup_engine`'s states."""
    return state_of(engine_folder(), engine_requirements())


def engine_problem(context: bpy.types.Context) -> tuple[str, str] | None:
    """Why there is no engine, as a sentence, and the operator that helps; None if there is one.

    Cheap enough for drawing; whether the engine is complete, `id3d.check_engine` finds out.
    """
    chosen = preferences(context)
    if chosen.engine == "REMOTE":
        return None if chosen.address else ("The remote engine has no address yet", "id3d.show_preferences")
    if chosen.engine == "PYTHON":
        path = Path(engine_python(context))
        return None if path.is_file() else (f"There is no Python at {path}", "id3d.show_preferences")
    sentence = _STATES.get(engine_state())
    return (sentence, "id3d.setup_engine") if sentence else None


def engine_python(context: bpy.types.Context) -> str:
    """The Python that runs a local engine; with a remote one, what reads photos, or nothing."""
    chosen = preferences(context)
    if chosen.engine == "PYTHON":
        return bpy.path.abspath(chosen.python) if chosen.python else sys.executable
    here = python_of(engine_folder())
    if chosen.engine == "REMOTE" and engine_state() != READY:
        return bpy.path.abspath(chosen.python) if chosen.python else ""
    return str(here)


def engine_command(context: bpy.types.Context) -> list[str]:
    """The program before `generate ...`: the engine, or what stands for it while it is remote.

    Raises:
        FileNotFoundError: there is no engine; the text says what to do.
    """
    if problem := engine_problem(context):
        raise FileNotFoundError(f"{problem[0][0].lower()}{problem[0][1:]}")
    chosen = preferences(context)
    if chosen.engine == "REMOTE":
        return [sys.executable, "-P", str(Path(__file__).with_name("remote.py")), chosen.address]
    return [engine_python(context), "-m", "id3d_engine"]


def engine_environment(context: bpy.types.Context) -> dict[str, str]:
    """Environment variables for `engine_command`; the key stays out of the list of processes."""
    chosen = preferences(context)
    if chosen.engine != "REMOTE":
        return {}
    return {"ID3D_REMOTE_KEY": chosen.key, "ID3D_LOCAL_PYTHON": engine_python(context)}


def engine_options(context: bpy.types.Context) -> list[str]:
    """Options of `generate` that the preferences decide."""
    chosen = preferences(context)
    options = ["--device", chosen.device]
    if chosen.prior and chosen.engine != "REMOTE":  # a server has its own
        options += ["--prior", bpy.path.abspath(chosen.prior)]
    if chosen.compile and chosen.engine != "REMOTE":
        options.append("--compile")
    if chosen.log_level == "DEBUG":
        options.append("--debug")
    if chosen.engine == "REMOTE" and chosen.send_photos:
        options.append("--send-photos")
    return options
