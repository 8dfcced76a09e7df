"""A model into the models folder, whole or not at all.

Everything is gathered in `.NAME.partial` beside the models, which a later call goes on with, and
becomes `NAME` by one rename once every file is there, checked and readable.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..job import Listener, Progress, silent
from .catalogue import known_file
from .download import fetch
from .library import COMMERCIAL, MANIFEST, Model, check_name, describe, partial_home
from .offers import Offer
from .pickles import PICKLES, conversion_command
from .pipeline import PRIOR_FILES, check_unet, few, select

_MB = 1e6
Convert = Callable[[Path, Path], None]
Consent = Callable[[Offer, int, Path], None]


@dataclass(frozen=True)
class Wish:
    """What the user wants beside the model itself.

    Attributes:
        name: The model's name; empty is the source's own.
        licence: In place of what the source states.
        commercial: In place of what the source states.
        convert: Makes a pipeline folder (second path) of a single-file checkpoint (first path).
    """

    name: str = ""
    licence: str = ""
    commercial: str = ""
    convert: Convert | None = None


def add_offer(offer: Offer, folder: Path, wish: Wish, consent: Consent, listener: Listener = silent) -> Model:
    """Download and install what a source offers.

    Args:
        offer: See `offers.offer`.
        folder: The models folder.
        wish: What the user wants.
        consent: Called with the offer, the bytes still to come and the model's future folder, if there are
            any to come; raises to refuse.
        listener: Receives progress in megabytes.

    Raises:
        InputError: it is installed already, refused, damaged, pickled, or of another kind.
        Id3dError: the connection was lost; the same call goes on from there.
    """
    name = _free_name(wish.name or offer.name, folder)
    staging = partial_home(name, folder)
    waiting = [f for f in offer.files if not _is_converted(staging / f.path)]
    left = sum((f.size or 0) - _have(staging / f.path) for f in waiting)
    unknown = any(f.size is None and not (staging / f.path).is_file() for f in waiting)
    if left > 0 or unknown:
        consent(offer, left, folder / name)
        _check_room(left, folder)
    began, done, total = time.monotonic(), 0, max(1, round(sum(f.size or 0 for f in waiting) / _MB))

    def received(count: int) -> None:
        nonlocal done
        done += count
        elapsed, step = time.monotonic() - began, min(round(done / _MB), total - 1)
        eta = elapsed * (total - step) / step if step else 0.0
        listener(Progress("download", step, total, elapsed, eta, name))

    for file in waiting:
        fetch(
            file.url,
            staging / file.path,
            size=file.size,
            sha256=file.sha256,
            headers=offer.headers,
            received=received,
        )
    listener(Progress("download", total, total, time.monotonic() - began, 0.0, name))
    return _install(
        staging, folder, name, wish, offer.source, offer.revision, offer.licence, offer.commercial
    )


def add_local(path: Path, folder: Path, wish: Wish) -> Model:
    """Install a diffusers folder, a prior's folder, or a single safetensors file by copying it.

    Raises:
        InputError: it is installed already, pickled, incomplete, or of another kind.
    """
    entry = known_file(path.stem) if path.is_file() else None
    if path.is_dir():
        names = [p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()]
        files = select(names, path)
        pickled = [source for source in files.values() if source.endswith(".bin")]
        if pickled:
            _refuse_pickles(few(pickled), path)
    elif path.suffix == ".bin":
        _refuse_pickles(path.name, path)
    elif path.suffix in PICKLES:
        raise InputError(f"{path} is a pickle, which is never opened: use its .safetensors version")
    elif path.suffix == ".safetensors":
        files = {path.name: path.name}
    else:
        raise InputError(f"{path} is neither a folder nor a .safetensors file: check the path")
    name = _free_name(
        wish.name or (entry.name if entry else path.stem if path.is_file() else path.name), folder
    )
    home = path if path.is_dir() else path.parent
    staging = partial_home(name, folder)
    shutil.rmtree(staging, ignore_errors=True)
    _check_room(sum((home / source).stat().st_size for source in files.values()), folder)
    try:
        for kept, source in files.items():
            target = staging / kept
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(home / source, target)
        licence, commercial = (entry.licence, entry.commercial) if entry else ("", "unknown")
        return _install(staging, folder, name, wish, path.name, "", licence, commercial)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _install(
    staging: Path,
    folder: Path,
    name: str,
    wish: Wish,
    source: str,
    revision: str,
    licence: str,
    commercial: str,
) -> Model:
    _require_converted(staging)
    kind = _settle(staging, name, wish.convert)
    commercial = wish.commercial or commercial
    if commercial not in COMMERCIAL:
        raise InputError(f"commercial use is {commercial!r}: say one of {', '.join(COMMERCIAL)}")
    model = Model(
        name, kind, source, revision, wish.licence or licence or "not stated", commercial, describe(staging)
    )
    (staging / MANIFEST).write_text(model.to_json(), encoding="utf-8")
    staging.rename(folder / name)
    return model


def _settle(staging: Path, name: str, convert: Convert | None) -> str:
    """What kind of model was gathered; a single-file checkpoint becomes a pipeline folder."""
    unet = staging / "unet" / "config.json"
    if unet.is_file():
        check_unet(unet, name)
    if any((staging / file).is_file() for file in PRIOR_FILES):
        return "prior"
    if unet.is_file():
        return "base"
    (file,) = (path for path in staging.iterdir() if path.suffix == ".safetensors")
    if kind_of_file(file) == "faceid":
        return "faceid"
    if convert is None:
        raise InputError(
            f"{file.name} is a single-file checkpoint: add --like NAME, an installed base of the same class,"
            " whose configuration, tokenizer and scheduler are taken"
        )
    pipeline = staging / ".pipeline"
    shutil.rmtree(pipeline, ignore_errors=True)
    convert(file, pipeline)
    file.unlink()
    for path in sorted(pipeline.iterdir()):
        path.rename(staging / path.name)
    pipeline.rmdir()
    return "base"


def kind_of_file(path: Path) -> str:
    """What a single safetensors file holds: "faceid" or "checkpoint".

    Raises:
        InputError: it is damaged, SDXL's, or of another kind.
    """
    keys = _keys(path)
    if any(key.startswith("conditioner.") for key in keys):
        raise InputError(
            f"{path.name} is a Stable Diffusion XL checkpoint, which is not supported: use one of Stable"
            " Diffusion 1.x or 2.x"
        )
    if any(key.startswith("model.diffusion_model.") for key in keys):
        return "checkpoint"
    if "image_proj.norm.weight" in keys and not any("perceiver" in key for key in keys):
        return "faceid"
    raise InputError(
        f"{path.name} is neither a Stable Diffusion checkpoint nor an IP-Adapter-FaceID or FaceID-Portrait"
        f" file, its keys are {few(keys)}: use one of these"
    )


def _keys(path: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path.name} is no whole safetensors file ({error}): get it again") from error


def _require_converted(staging: Path) -> None:
    left = []
    for path in sorted(staging.rglob("*.bin")):
        if _is_converted(path):
            _keys(path.with_suffix(".safetensors"))
            path.unlink()
        else:
            left.append(path.relative_to(staging).as_posix())
    if left:
        _refuse_pickles(few(left), staging)


def _refuse_pickles(names: str, where: Path) -> None:
    raise InputError(
        f"{names}: pickled weights, which id3d never opens; convert them once with"
        f" `{conversion_command(where)}`, then "
        + ("run this command again" if where.name.endswith(".partial") else "add the result")
    )


def _is_converted(path: Path) -> bool:
    return path.suffix == ".bin" and path.with_suffix(".safetensors").is_file()


def _have(path: Path) -> int:
    partial = path.with_name(path.name + ".partial")
    return next((p.stat().st_size for p in (path, partial) if p.is_file()), 0)


def _free_name(name: str, folder: Path) -> str:
    if (folder / check_name(name)).exists():
        raise InputError(
            f"{name} is installed already in {folder}: look with `id3d models check {name}`, or give another"
            " --name"
        )
    return name


def _check_room(needed: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free in {folder}: free some space,"
            " or give another folder with --folder"
        )
