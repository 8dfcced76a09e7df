"""The models folder: one folder a model, with a `model.json` that says what it is and what is in it.

    ID3D_MODELS, or the user's data folder / id3d / models
        sd1.5/model.json  unet/...  vae/...  text_encoder/...  tokenizer/...  scheduler/...
        faceid/model.json  faceid.safetensors

The folder can be copied to another machine, or served as it is by any web server, as a mirror.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from ..digest import sha256_of
from ..errors import InputError

VARIABLE = "ID3D_MODELS"
MANIFEST = "model.json"
SCHEMA = 1
KINDS = ("base", "faceid", "prior")
COMMERCIAL = ("yes", "no", "unknown")


@dataclass(frozen=True)
class ModelFile:
    """One file: its path in the model's folder (with slashes), bytes, and sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Model:
    """What `model.json` holds.

    Attributes:
        name: The model's name here, and its folder's.
        kind: "base" (a Stable Diffusion pipeline), "faceid" (an identity adapter) or "prior".
        source: Where it came from: a hub id, an address, or the name of a local file.
        revision: Commit of a hub; empty elsewhere.
        licence: As its publisher states it, or as the user gave it.
        commercial: Whether its licence allows commercial use: "yes", "no" or "unknown".
        files: Everything in the folder but `model.json`.
    """

    name: str
    kind: str
    source: str
    revision: str
    licence: str
    commercial: str
    files: tuple[ModelFile, ...]
    schema: int = SCHEMA

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def to_json(self) -> str:
        """The text of `model.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: object) -> Model:
        """Read `model.json`.

        Args:
            text: What it holds.
            origin: Its path or address, for the error.

        Raises:
            InputError: it is damaged, names files outside the folder, or is of another schema.
        """
        try:
            values = json.loads(text)
            schema = values["schema"]
            if schema == SCHEMA:
                values["files"] = tuple(ModelFile(**entry) for entry in values["files"])
                model = cls(**values)
                if not _is_name(model.name) or not model.files:
                    raise ValueError(f"name {model.name!r}, {len(model.files)} files")
                if model.kind not in KINDS or model.commercial not in COMMERCIAL:
                    raise ValueError(f"kind {model.kind!r}, commercial {model.commercial!r}")
                if not all(_is_inside(file.path) for file in model.files):
                    raise ValueError("it names files outside its folder")
                return model
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{origin} is damaged ({error}): add the model again") from error
        raise InputError(
            f"{origin} has schema {schema}, this version reads schema {SCHEMA}: update the one that is older"
        )


def models_folder(given: Path | None = None) -> Path:
    """Where models are: `given`, the variable `ID3D_MODELS`, or the user's data folder.

    The last is `%LOCALAPPDATA%` on Windows, `~/Library/Application Support` on a Mac, and
    `$XDG_DATA_HOME` or `~/.local/share` elsewhere. It need not exist.
    """
    if given is not None:
        return Path(given)
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = home / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return data / "id3d" / "models"


def installed(folder: Path) -> list[Model]:
    """All models in a models folder, by name; none if there is no such folder.

    Raises:
        InputError: a `model.json` is damaged.
    """
    return [read_model(path.parent) for path in sorted(folder.glob(f"[!.]*/{MANIFEST}"))]


def find(name: str, folder: Path) -> Model | None:
    """The model of this name or from this source, or None.

    Raises:
        InputError: a `model.json` is damaged.
    """
    models = installed(folder)
    named = [model for model in models if model.name == name]
    return next(iter(named or [model for model in models if model.source == name]), None)


def require(name: str, folder: Path) -> Model:
    """The model of this name or from this source.

    Raises:
        InputError: there is none.
    """
    model = find(name, folder)
    if model is None:
        raise InputError(f"there is no model {name!r} in {folder}: see `id3d models list`")
    return model


def read_model(home: Path) -> Model:
    """The model in one folder; its name is the folder's.

    Raises:
        InputError: its `model.json` is damaged, or names another folder.
    """
    path = home / MANIFEST
    model = Model.from_json(path.read_text(encoding="utf-8"), path)
    if model.name != home.name:
        raise InputError(f"{path} is of a model named {model.name!r}: rename its folder to that")
    return model


def describe(home: Path) -> tuple[ModelFile, ...]:
    """Every file in a folder but its `model.json`, hashed, by path."""
    return tuple(
        ModelFile(path.relative_to(home).as_posix(), path.stat().st_size, sha256_of(path))
        for path in sorted(home.rglob("*"))
        if path.is_file() and path != home / MANIFEST
    )


def problems(model: Model, folder: Path) -> list[str]:
    """What is wrong with a model's files, one line a file; empty if every sha256 agrees."""
    found = []
    for file in model.files:
        path = folder / model.name / file.path
        if not path.is_file():
            found.append(f"{file.path} is missing")
        elif path.stat().st_size != file.size:
            found.append(f"{file.path} has {path.stat().st_size} bytes instead of {file.size}")
        elif sha256_of(path) != file.sha256:
            found.append(f"{file.path} is damaged: its sha256 differs")
    return found


def unfinished(folder: Path) -> list[str]:
    """Names of the models whose download was not finished."""
    return sorted(path.name[1:].removesuffix(".partial") for path in folder.glob(".*.partial"))


def partial_home(name: str, folder: Path) -> Path:
    """Where a model is gathered before it is installed."""
    return folder / f".{name}.partial"


def remove(home: Path) -> None:
    """Delete a model's folder; it disappears at once, even if deleting takes long or is stopped."""
    doomed = home.with_name(f".{home.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    home.rename(doomed)
    shutil.rmtree(doomed)


def check_name(name: str) -> str:
    """`name` itself.

    Raises:
        InputError: it cannot be a folder's name on every system.
    """
    if not _is_name(name):
        raise InputError(
            f"{name!r} cannot be a model's name: give --name, of letters, digits, '.', '_', '+' and '-'"
        )
    return name


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9][\w.+-]*(?<!\.)", name) is not None


def _is_inside(path: str) -> bool:
    return bool(path) and not re.search(r"^[/~]|\\|:|(^|/)\.\.?(/|$)", path)
