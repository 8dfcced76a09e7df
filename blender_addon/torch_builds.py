"""Which build of torch fits this machine, and where it comes from. Knows nothing of bpy."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass

_INDEX = "https://download.pytorch.org/whl/"
# What the CUDA 12 builds ask of the driver, and the first compute capability of the newer one.
_OLDEST_DRIVER = 525
_TURING = 7.5


@dataclass(frozen=True)
class Build:
    """One build of torch.

    Attributes:
        name: "cpu", "cu126", "cu128" or "mps".
        label: For people.
        index: The package index that has it; empty for the ordinary one (PyPI).
        disk_gib: What the whole environment with it needs while it is being installed.
    """

    name: str
    label: str
    index: str
    disk_gib: float


CPU = Build("cpu", "CPU", _INDEX + "cpu", 4.0)
CUDA = Build("cu128", "NVIDIA GPU (CUDA 12.8)", _INDEX + "cu128", 14.0)
CUDA_OLD_CARDS = Build("cu126", "NVIDIA GPU (CUDA 12.6)", _INDEX + "cu126", 14.0)
# On a Mac the one build, from PyPI, has the GPU (Metal) and the CPU.
MPS = Build("mps", "Apple GPU (Metal) and CPU", "", 4.0)


@dataclass(frozen=True)
class Machine:
    """What decides the build.

    Attributes:
        system: `platform.system()`.
        arm: Whether the processor is of the ARM family.
        gpu: Name of the first NVIDIA card, or empty.
        driver: Major version of its driver.
        capability: Its CUDA compute capability.
    """

    system: str
    arm: bool = False
    gpu: str = ""
    driver: int = 0
    capability: float = 0.0


def this_machine() -> Machine:
    """Ask the system and `nvidia-smi`. May take a second: not for Blender's main thread."""
    arm = platform.machine().lower() in ("arm64", "aarch64")
    query = ["nvidia-smi", "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            query,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return Machine(platform.system(), arm, *parse_nvidia_smi(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return Machine(platform.system(), arm)


def parse_nvidia_smi(text: str) -> tuple[str, int, float]:
    """Name, driver's major version and compute capability of the first card.

    Raises:
        ValueError: it is no such table.
    """
    name, driver, capability = (text.splitlines() or [""])[0].rsplit(",", 2)
    return name.strip(), int(driver.split(".")[0]), float(capability)


def choose(machine: Machine, kind: str = "auto") -> tuple[Build, str]:
    """The build of a kind ("auto", "cpu", "cuda", "mps") for a machine, and why, as a sentence.

    Raises:
        ValueError: that kind does not run on this machine; the text says what to choose.
    """
    if machine.system == "Darwin":
        if not machine.arm:
            raise ValueError("torch is no longer made for Intel Macs: use a remote engine")
        if kind == "cuda":
            raise ValueError("there is no CUDA on a Mac: choose Automatic")
        return MPS, "a Mac has one build for its GPU and its CPU"
    if kind == "mps":
        raise ValueError("Metal is for Macs: choose Automatic")
    if kind == "cpu":
        return CPU, "as you chose"
    newest = CUDA if not machine.capability or machine.capability >= _TURING else CUDA_OLD_CARDS
    if kind == "cuda":
        return newest, "as you chose"
    if not machine.gpu:
        return CPU, "no NVIDIA GPU was found"
    if machine.driver < _OLDEST_DRIVER:
        return CPU, f"the driver of the {machine.gpu} is too old: update it to {_OLDEST_DRIVER} for CUDA"
    return newest, f"for the {machine.gpu}"
