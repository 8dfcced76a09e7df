"""Where a prior or a base lives: the packaged starter, a folder, or an installed model. Never the network."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..models.library import find, models_folder
from ..models.offers import is_hub_id

STARTER_FOLDER = Path(__file__).parent.parent / "starter" / "prior"


def locate(name: str | Path, models: Path | None = None) -> Path:
    """The folder of a prior or base.

    Args:
        name: "starter", a folder, or an installed model by its name or its hub id. A hub id is also
            looked for in the local cache of the hub's own tools.
        models: The models folder; None is the usual one (`models.library.models_folder`).

    Raises:
        InputError: there is no such folder and no such model on this machine.
    """
    if str(name) == "starter":
        if not STARTER_FOLDER.is_dir():
            raise InputError(
                f"the packaged prior is missing at {STARTER_FOLDER}:"
                " reinstall the package or give --prior FOLDER"
            )
        return STARTER_FOLDER
    if Path(name).is_dir():
        return Path(name)
    folder = models_folder(models)
    model = find(str(name), folder)
    if model is not None:
        return folder / model.name
    if Path(name).is_absolute():
        raise InputError(f"there is no prior at {str(name)!r}: give 'starter', a folder, or a model's name")
    cached = _cached(str(name)) if is_hub_id(str(name)) else None
    if cached is None:
        raise InputError(
            f"there is no folder {str(name)!r} and no such model in {folder}: run: id3d models add {name}"
        )
    return cached


def _cached(hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):  # not there, no cache at all, or not an id
        return None
