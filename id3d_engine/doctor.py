"""`id3d doctor`: what is installed, what is missing, and the line that fixes it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .digest import sha256_of
from .errors import Id3dError
from .models.library import installed, models_folder
from .template import TEMPLATE_FILE

STARTER = TEMPLATE_FILE.parent
CHECKSUMS = "SHA256SUMS"
STARTER_PARTS = (
    "template.safetensors",
    *(f"prior/{part}" for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")),
    *(f"prior/{domain}.{kind}" for domain in ("geometry", "albedo") for kind in ("json", "safetensors")),
    "prior/start.safetensors",
    "prior/measured.safetensors",
    "face_mesh.safetensors",
    "silhouette.safetensors",
)
_GIB = 1 << 30
_NEEDED_DISK_GIB, _NEEDED_MEMORY_GIB = 1.0, 4.0

# package -> the pip name that brings it; the first group is required.
_REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "diffusers": "diffusers",
    "transformers": "transformers",
    "accelerate": "accelerate",
    "safetensors": "safetensors",
    "numba": "numba",
    "pillow": "pillow",
    "trimesh": "trimesh",
    "dlib-bin": "dlib-bin",
    "face-recognition-models": "face-recognition-models",
}
_OPTIONAL = {
    "bpy": ("writes .blend, FBX and USD files", "pip install 'id3d-engine[bpy]'"),
    "insightface": ("ArcFace identities for production priors", "pip install 'id3d-engine[insightface]'"),
    "nvdiffrast": (
        "quicker visibility on an NVIDIA GPU (non-commercial licence; torch does it without)",
        "install it from https://github.com/NVlabs/nvdiffrast",
    ),
    "anny": ("3D heads to train priors on", "pip install 'id3d-engine[train]'"),
    "webdataset": ("training data at an address", "pip install 'id3d-engine[train]'"),
    "bitsandbytes": ("8-bit moments in training", "pip install 'id3d-engine[train8bit]'"),
}


@dataclass(frozen=True)
class Check:
    """One line of the report. `fix` is empty where nothing has to be done."""

    name: str
    ok: bool
    required: bool
    text: str
    fix: str = ""


def examine() -> list[Check]:
    """All checks, the required ones first. Takes some seconds: it loads torch and renders."""
    checks = [*_packages(), *_starter(), _models(), _memory(), _disk(), _device(), _self_test()]
    return sorted(checks, key=lambda check: not check.required)


def report(checks: list[Check]) -> dict[str, Any]:
    """The report as plain data, for `--json`."""
    from . import __version__

    return {
        "ok": healthy(checks),
        "version": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "checks": [asdict(check) for check in checks],
    }


def healthy(checks: list[Check]) -> bool:
    """Whether everything required is in order."""
    return all(check.ok for check in checks if check.required)


def text(checks: list[Check]) -> str:
    """The report for people: one line a check, and under a bad one what to do."""
    facts = report(checks)
    lines = [f"id3d {facts['version']}, Python {facts['python']}, {facts['platform']}"]
    for check in checks:
        mark = "ok     " if check.ok else "MISSING" if check.required else "without"
        lines.append(f"{mark}  {check.name:<24} {check.text}")
        if check.fix and not check.ok:
            lines.append(f"{'':9}{'':<24} -> {check.fix}")
    lines.append("ready" if facts["ok"] else "not ready: see the lines marked MISSING")
    return "\n".join(lines)


def _packages() -> Iterator[Check]:
    for name, pip_name in _REQUIRED.items():
        version = _version(name)
        yield Check(name, bool(version), True, version or "not installed", f"pip install {pip_name}")
    for name, (purpose, fix) in _OPTIONAL.items():
        version = _version(name)
        yield Check(name, bool(version), False, f"{version or 'not installed'}: {purpose}", fix)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _starter(folder: Path = STARTER) -> Iterator[Check]:
    fix = "reinstall id3d-engine: its data files are incomplete"
    missing = [part for part in STARTER_PARTS if not (folder / part).exists()]
    sentence = f"without {', '.join(missing)}" if missing else f"{_size(folder) / 1e6:.0f} MB"
    yield Check("starter prior", not missing, True, sentence, fix)
    damaged = damaged_files(folder)
    sentence = f"differs from {CHECKSUMS}: {', '.join(damaged)}" if damaged else "sha256 of every file agrees"
    yield Check("starter checksums", not damaged, True, sentence, fix)


def damaged_files(folder: Path = STARTER) -> list[str]:
    """Names in `SHA256SUMS` (the format of sha256sum) whose file is missing or differs."""
    sums = folder / CHECKSUMS
    if not sums.is_file():
        return [CHECKSUMS]
    damaged = []
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            damaged.append(name)
    return damaged


def write_checksums(folder: Path = STARTER) -> Path:
    """Record the sha256 of every shipped file; run after the starter was rebuilt."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != CHECKSUMS
    )
    digests = [sha256_of(folder / name) for name in names]
    lines = [f"{digest}  {name}\n" for digest, name in zip(digests, names, strict=True)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
    return folder / CHECKSUMS


def _models(folder: Path | None = None) -> Check:
    folder = models_folder(folder)
    try:
        models = installed(folder)
    except Id3dError as error:
        return Check("models", False, False, str(error), "id3d models check")
    size = sum(model.size for model in models) / 1e9
    names = f": {', '.join(model.name for model in models)}" if models else ""
    return Check("models", True, False, f"{len(models)} in {folder}, {size:.1f} GB{names}")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _memory() -> Check:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB
    except (AttributeError, ValueError, OSError):
        return Check("memory", True, False, "this system does not say how much there is")
    enough = total >= _NEEDED_MEMORY_GIB
    return Check(
        "memory", enough, False, f"{total:.1f} GiB", "below 4 GiB: use --preset draft and few expressions"
    )


def _disk(folder: Path | None = None) -> Check:
    folder = folder or Path.cwd()
    free = shutil.disk_usage(folder).free / _GIB
    return Check(
        "disk", free >= _NEEDED_DISK_GIB, True, f"{free:.1f} GiB free in {folder}", "free at least 1 GiB"
    )


def _device() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check("device", False, True, f"torch cannot be loaded: {error}", "pip install torch")
    threads = torch.get_num_threads()
    if not torch.cuda.is_available():
        return Check("device", True, True, f"CPU, {threads} threads; torch finds no CUDA device")
    names = [
        f"{torch.cuda.get_device_name(i)} ({torch.cuda.get_device_properties(i).total_memory / _GIB:.0f} GiB)"
        for i in range(torch.cuda.device_count())
    ]
    return Check("device", True, True, f"CUDA: {', '.join(names)}; CPU with {threads} threads")


def _self_test(render: Callable[[], float] | None = None) -> Check:
    try:
        covered = (render or covered_share_of_a_triangle)()
    except (ImportError, OSError, RuntimeError, Id3dError) as error:
        return Check("self test", False, True, f"rendering failed: {error}", "pip install numba torch")
    good = abs(covered - 0.125) < 0.01
    sentence = f"a triangle was rendered and covers {covered:.1%} of the picture (12.5% is due)"
    return Check("self test", good, True, sentence, "pip install --force-reinstall numba")


def covered_share_of_a_triangle() -> float:
    """Render half of the picture's middle quarter; the share of covered pixels is near 0.125."""
    import torch

    from .render.raster import rasterize

    clip = torch.tensor([[[-0.5, -0.5, 0.0, 1.0], [0.5, -0.5, 0.0, 1.0], [0.5, 0.5, 0.0, 1.0]]])
    fragments = rasterize(clip, torch.tensor([[0, 1, 2]]), (64, 64), "cpu")
    return float(fragments.mask.float().mean())
