"""Which files of a diffusers folder matter, under which name they are kept, and why a folder will not do.

Only names and the UNet's `config.json` are looked at, so that a model can be refused before it is
downloaded. Weights in half precision (`*.fp16.safetensors`) are preferred, since priors run in it,
and are kept under the plain name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError

CLASS = "the Stable Diffusion 1.x or 2.x class"
_SUPPORTED = f"use a model of {CLASS}"
_WEIGHTS = {
    "unet": ("diffusion_pytorch_model",),
    "vae": ("diffusion_pytorch_model",),
    "text_encoder": ("model", "pytorch_model"),
}
_ENDINGS = (".fp16.safetensors", ".safetensors", ".fp16.bin", ".bin")
_CONFIGS = (
    *(f"{part}/config.json" for part in _WEIGHTS),
    "scheduler/scheduler_config.json",
)
_TOKENIZER = tuple(
    f"tokenizer/{name}"
    for name in (
        "vocab.json",
        "merges.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    )
)
PRIOR_FILES = tuple(
    f"{domain}.{ending}" for domain in ("geometry", "albedo") for ending in ("json", "safetensors")
)
_WITH_PRIOR = ("start.safetensors", "measured.safetensors", "card.md")


def select(names: Iterable[str], origin: object) -> dict[str, str]:
    """The files to keep of a pipeline or a prior: name in the library -> name in the source.

    A weight that exists as a pickle alone keeps the ending `.bin`.

    Args:
        names: Every file of the source, relative, with slashes.
        origin: What the error calls it.

    Raises:
        InputError: it is another kind of model, or incomplete.
    """
    there = set(names)
    is_prior = "geometry.json" in there or "albedo.json" in there
    kept = {
        name: name for name in ("model_index.json", *_TOKENIZER, *PRIOR_FILES, *_WITH_PRIOR) if name in there
    }
    kept |= {name: name for name in there if "/" not in name and name.upper().startswith("LICEN")}
    if is_prior and not any(name.startswith("unet/") for name in there):
        return kept  # adapters alone: their JSON names the base
    if any(name.startswith("text_encoder_2/") for name in there):
        raise InputError(f"{origin} is a Stable Diffusion XL model, which is not supported: {_SUPPORTED}")
    if not any(name.startswith("unet/") for name in there):
        raise InputError(f"{origin} is not a diffusers pipeline, it has no unet/: {_SUPPORTED}")
    missing = [name for name in _CONFIGS if name not in there]
    if "tokenizer/tokenizer.json" not in there:
        missing += [name for name in _TOKENIZER[:2] if name not in there]
    kept |= {name: name for name in _CONFIGS}
    for part, stems in _WEIGHTS.items():
        source = next((n for e in _ENDINGS for s in stems if (n := f"{part}/{s}{e}") in there), None)
        if source is None:
            missing.append(f"{part}/{stems[0]}.safetensors")
        else:
            kept[f"{part}/{stems[0]}{Path(source).suffix}"] = source
    if missing:
        raise InputError(f"{origin} is incomplete, it has no {few(missing)}: {_SUPPORTED}, whole")
    return kept


def check_unet(config_file: Path, origin: object) -> None:
    """See that a UNet is of the class that adapters extend.

    Raises:
        InputError: it is SDXL's, an inpainting or depth model's, or of another kind.
    """
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{config_file} cannot be read ({error}): copy the model again") from error
    if config.get("addition_embed_type") is not None:
        raise InputError(f"{origin} is a Stable Diffusion XL model, which is not supported: {_SUPPORTED}")
    if config.get("in_channels") != 4:
        raise InputError(
            f"{origin} takes {config.get('in_channels')} channels instead of 4, as an inpainting or depth"
            f" model does: use a plain text-to-image model of {CLASS}"
        )


def check_pipeline(folder: Path) -> None:
    """See that a folder can be read as a base as it is.

    Raises:
        InputError: it is another kind of model, incomplete, or its weights have other names or are pickled.
    """
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    kept = select(names, folder)
    if "unet/config.json" not in kept:
        raise InputError(f"{folder} holds adapters and no base: name the base itself")
    other = [source for name, source in kept.items() if source != name or source.endswith(".bin")]
    if other:
        raise InputError(f"{folder} has {few(other)}, not plain safetensors: run `id3d models add {folder}`")
    check_unet(folder / "unet" / "config.json", folder)


def few(names: Iterable[str], most: int = 3) -> str:
    """The first few of many, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
