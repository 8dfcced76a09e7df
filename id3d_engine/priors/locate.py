"""Where a prior lives: the packaged starter, a folder, or a model hub."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InputError

STARTER_FOLDER = Path(__file__).parent.parent / "starter" / "prior"

# What a pipeline needs, without the other formats of the same weights that hubs often hold.
_WANTED = (
    "*.json",
    "geometry.safetensors",
    "albedo.safetensors",
    "start.safetensors",
    "measured.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
    "tokenizer/*",
)


def locate(name: str | Path) -> Path:
    """The folder of a prior or base.

    Args:
        name: "starter", a folder, or a hub id "user/name", which is downloaded once.

    Raises:
        InputError: there is no such folder, and no such model on the hub.
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
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)):
        raise InputError(f"there is no prior at {str(name)!r}: give 'starter', a folder, or a hub id")
    return _download(str(name))


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(_WANTED)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"there is no folder {hub_id!r} and it could not be fetched from the hub ({reason}):"
            " check the name and the network"
        ) from error
