"""Adapter files: `geometry.safetensors` + `geometry.json`, `albedo.safetensors` + `albedo.json`.

    save_adapter(adapter, config, folder)                  # writes both, weights in fp16
    adapter, config = load_adapter(unet, folder, "geometry")

Keys of the tensors: `image_proj.*` as in IP-Adapter-FaceID, and `layers.PATH.*`, PATH being the
UNet's own name of the attention layer with dots written as slashes; `base.*` as in `low_rank.py`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..digest import sha256_of
from ..errors import InputError
from ..expressions import EXPRESSION_NAMES
from ..models.pipeline import check_pipeline
from .adapters import Adapter, AdapterSizes
from .base import UNet
from .layout import differences, shapes, summary
from .locate import locate
from .low_rank import PREFIX, fold
from .prompts import DOMAINS, check_domain

SCHEMA = 1
UNET_FILE = Path("unet") / "diffusion_pytorch_model.safetensors"

NORMAL_MAPS = "OpenGL camera space (x right, y up, z to the viewer), (n+1)/2, black background"
ALBEDO_MAPS = "sRGB albedo without shading, black background"


@dataclass(frozen=True)
class Advice:
    """How a prior is best asked; the presets' own way is gentle, for young ones.

    Attributes:
        noise: Share of the forward process at a stage's begin and at its end.
        guidance, generic: See `guidance.asked_change`.
    """

    noise: tuple[float, float]
    guidance: float
    generic: float


# For a base of the Stable Diffusion class: its view of heads at large is worth following, from much noise.
STRONG = Advice(noise=(0.6, 0.2), guidance=1.5, generic=1.0)


@dataclass
class AdapterConfig:
    """What `geometry.json` / `albedo.json` holds.

    Attributes:
        domain: "geometry" or "albedo".
        base: Folder name or hub id of the base.
        base_sha256: Of the base's UNet file; empty skips the check.
        identity_encoder, identity_dimension, identity_tokens: Who reads faces, and into what.
        resolution: Pixels a side.
        prediction: "epsilon" or "v_prediction", as in the base's scheduler.
        rank, projector_width: See `AdapterSizes`.
        lambda_id, lambda_exp: Default strengths of the two added attentions.
        expressions: The vocabulary it was trained on, FaceWarehouse names; without any, the expression
            is told in the text.
        advice: How it is best asked, if not as the presets do.
        image_convention: What a pixel means.
        training: Free facts on the data and the run.
        metrics: Held-out figures.
    """

    domain: str
    identity_encoder: str
    identity_dimension: int
    base: str = ""
    base_sha256: str = ""
    identity_tokens: int = 4
    resolution: int = 256
    prediction: str = "v_prediction"
    rank: int = 24
    projector_width: int | None = None
    lambda_id: float = 1.0
    lambda_exp: float = 1.0
    expressions: tuple[str, ...] = EXPRESSION_NAMES
    advice: Advice | None = None
    image_convention: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        check_domain(self.domain)
        self.expressions = tuple(self.expressions)
        if self.advice is not None and not isinstance(self.advice, Advice):
            self.advice = Advice(**{**self.advice, "noise": tuple(self.advice["noise"])})
        if not self.image_convention:
            self.image_convention = NORMAL_MAPS if self.domain == "geometry" else ALBEDO_MAPS

    @property
    def sizes(self) -> AdapterSizes:
        return AdapterSizes(self.identity_dimension, self.identity_tokens, self.rank, self.projector_width)


def save_adapter(
    adapter: Adapter,
    config: AdapterConfig,
    folder: Path,
    dtype: torch.dtype = torch.float16,
    updates: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write `DOMAIN.safetensors` and `DOMAIN.json` into `folder`, each by a temporary file and rename.

    `updates` are the low-rank updates of the base (`low_rank.py`) that go with the adapter.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weighed = {**adapter.state_dict(), **(updates or {})}
    tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in weighed.items()}
    weights, settings = (folder / f"{config.domain}{suffix}" for suffix in (".safetensors", ".json"))
    partial = weights.with_suffix(".partial")
    # One metadata entry only: safetensors writes several in random order, and equal files are wanted.
    save_file(tensors, partial, metadata={"format": "pt"})
    os.replace(partial, weights)
    partial.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", encoding="utf-8")
    os.replace(partial, settings)


def read_adapter_config(folder: Path, domain: str) -> AdapterConfig:
    """Read `DOMAIN.json`.

    Raises:
        InputError: it is missing, not JSON, of another schema, or lacks or adds a field.
    """
    path = Path(folder) / f"{check_domain(domain)}.json"
    if not path.is_file():
        if (Path(folder) / "unet").is_dir():
            check_pipeline(Path(folder))
        raise InputError(
            f"{folder} has no {path.name}: train or copy a {domain} adapter into this folder, or make a prior"
            " of a base with `id3d models assemble`"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): copy the file again") from error
    schema = values.get("schema") if isinstance(values, dict) else None
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema {schema}, this version reads schema {SCHEMA}: update the one that is older"
        )
    known = {f.name: f for f in dataclasses.fields(AdapterConfig)}
    needed = {"domain", "identity_encoder", "identity_dimension"}
    wrong = sorted(set(values) - set(known)) + sorted(needed - set(values))
    if wrong:
        raise InputError(f"{path} has unknown or missing fields ({', '.join(wrong)}): correct the file")
    try:
        return AdapterConfig(**values)
    except (KeyError, TypeError) as error:
        fields = ", ".join(f.name for f in dataclasses.fields(Advice))
        raise InputError(f"{path} has advice other than {fields}: correct the file") from error


def check_prior(name: str | Path) -> None:
    """See, before hours of work, that a prior has all its files: both adapters, and a base for each.

    Args:
        name: See `locate`.

    Raises:
        InputError: something is missing, or a base is of another class.
    """
    home = locate(name)
    for domain in DOMAINS:
        config = read_adapter_config(home, domain)
        _weights_of(home, domain)
        check_pipeline(home if (home / UNET_FILE.parent).is_dir() else locate(config.base))


def _weights_of(folder: Path, domain: str) -> Path:
    weights = Path(folder) / f"{domain}.safetensors"
    if not weights.is_file():
        raise InputError(f"{folder} has no {weights.name}: train or copy a {domain} adapter into this folder")
    return weights


def load_adapter(
    unet: UNet, folder: Path, domain: str, *, unet_file: Path | None = None
) -> tuple[Adapter, AdapterConfig]:
    """Read an adapter for `unet`; float32, not yet installed, in eval mode.

    Args:
        unet: The base it belongs to; changed in place where the adapter brings updates of its weights.
        folder: Holds `DOMAIN.safetensors` and `DOMAIN.json`.
        domain: "geometry" or "albedo".
        unet_file: The base's weights file, to compare its sha256; None skips that.

    Raises:
        InputError: a file is missing or damaged, or the weights do not fit the base.
    """
    config = read_adapter_config(folder, domain)
    weights = _weights_of(folder, domain)
    if unet_file is not None and config.base_sha256 and sha256_of(unet_file) != config.base_sha256:
        raise InputError(
            f"{weights} was trained on another base ({config.base or 'unnamed'}) than {unet_file}:"
            " use that base or train again"
        )
    adapter = Adapter(unet, config.sizes)
    try:
        tensors = load_file(weights)
    except SafetensorError as error:
        raise InputError(f"{weights} is damaged: copy the file again") from error
    updates = {key: tensors.pop(key) for key in list(tensors) if key.startswith(PREFIX)}
    wrong = differences(tensors, shapes(adapter.state_dict()))
    if wrong:
        raise InputError(f"{weights} does not fit this base: {summary(wrong)}", wrong)
    fold(unet, updates)
    adapter.load_state_dict(tensors)
    adapter.lambda_id, adapter.lambda_exp = config.lambda_id, config.lambda_exp
    return adapter.eval(), config
