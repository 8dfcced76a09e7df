"""The maps of a head as Blender images, packed into the .blend or kept as files beside it.

Neither way decodes a picture: Blender does so when it first draws or renders it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bpy

from ..errors import InputError

COLOUR_SPACES = {"albedo": "sRGB", "roughness": "Non-Color", "specular": "Non-Color", "normal": "Non-Color"}


def load_image(name: str, path: Path, kind: str, *, pack: bool = True) -> bpy.types.Image:
    """A new image of one of the kinds in `COLOUR_SPACES`.

    Packed, neither it nor the .blend remembers where the file was; else it refers to the file, relative
    to the .blend where that is saved.
    """
    if pack:
        # Never told the path: one that is overwritten with a shorter one leaves its end in the .blend.
        content = path.read_bytes()
        image = bpy.data.images.new(name, 1, 1)
        image.pack(data=content, data_len=len(content))
        image.source = "FILE"
        image.filepath_raw = f"//{name}.png"
        for packed in image.packed_files:
            packed.filepath = f"//{name}.png"
    else:
        image = bpy.data.images.load(str(path.resolve()), check_existing=False)
        image.name = name
        if bpy.data.filepath:
            image.filepath_raw = bpy.path.relpath(str(path.resolve()))
    image.colorspace_settings.name = COLOUR_SPACES[kind]
    image.alpha_mode = "NONE"
    return image


def copy_maps(name: str, textures: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Copy a head's maps to `folder` as `NAME_KIND.png`; a number is added where another file is.

    Raises:
        InputError: a map cannot be read, or the folder cannot be written.
    """
    copies = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in [kind for kind in COLOUR_SPACES if kind in textures]:
            content = textures[kind].read_bytes()
            copies[kind] = _place_for(content, folder, f"{name}_{kind}")
            copies[kind].write_bytes(content)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(
            f"the maps cannot be saved to {folder} ({reason}): pack them into the .blend instead"
        ) from error
    return copies


def _place_for(content: bytes, folder: Path, stem: str) -> Path:
    # The same map again, of the same head in another .blend, shares its file.
    path, number = folder / f"{stem}.png", 1
    while path.exists() and path.read_bytes() != content:
        path, number = folder / f"{stem}-{number:03d}.png", number + 1
    return path
