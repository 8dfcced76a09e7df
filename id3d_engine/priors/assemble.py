"""A prior out of published weights: a base a domain by reference, FaceID's identity, the rest fresh.

    assemble("normal-adapted-sd1.5", "sd1.5", Path("my.prior"), faceid=Path("faceid.safetensors"))
    prior = Prior.load("my.prior", "geometry")

The folder holds adapter files alone, some 80 to 135 MB a domain; their JSON names the bases, and the
sha256 of each base's UNet is checked whenever the prior is loaded. The start head is the starter's, from
dlib's reading of the photos. Without FaceID the adapters add nothing, bit for bit, and all identity comes
from that start, free for any use. With FaceID the priors hear ArcFace's, for research only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from ..digest import sha256_of
from ..errors import InputError
from ..identity.encoders import DIMENSIONS
from ..models.library import find, models_folder
from .adapter_files import STRONG, UNET_FILE, AdapterConfig, save_adapter
from .adapters import Adapter, AdapterSizes
from .base import load_base
from .faceid import ENCODER, adapter_of, read_faceid
from .locate import STARTER_FOLDER, locate
from .noise import NoiseSchedule
from .prompts import DOMAINS
from .start import MEASURED_FILE, START_FILE

FREE_ENCODER = "dlib"


def assemble(
    geometry: str,
    albedo: str,
    out: Path,
    *,
    faceid: str | Path | None = None,
    lambda_id: float = 1.0,
    models: Path | None = None,
) -> None:
    """Write a prior folder at `out`, whole or not at all.

    Args:
        geometry: Base that draws normals: an installed model, a hub id that is installed, or a folder.
        albedo: Base that draws albedo, likewise.
        out: A new folder.
        faceid: A FaceID or FaceID-Portrait file in safetensors form, or an installed one by name.
        lambda_id: Strength of the identity attention, stored as the prior's default.
        models: The models folder; None is the usual one.

    Raises:
        InputError: `out` exists, a base or file is nowhere or of another kind, or they do not fit.
    """
    if out.exists():
        raise InputError(f"{out} exists already: give another --out, or remove it first")
    tensors = None if faceid is None else read_faceid(_faceid_file(faceid, models))
    bases = dict(zip(DOMAINS, (geometry, albedo), strict=True))
    homes = {domain: locate(name, models) for domain, name in bases.items()}  # before minutes are spent
    unfinished = out.with_name(out.name + ".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for domain, home in homes.items():
            adapter, updates, config = _domain(domain, home, tensors)
            config.base = _reference(bases[domain])
            config.lambda_id = lambda_id
            config.training = {} if faceid is None else {"identity": Path(faceid).name}
            save_adapter(adapter, config, unfinished, updates=updates)
        for name in (START_FILE, MEASURED_FILE):
            shutil.copyfile(STARTER_FOLDER / name, unfinished / name)
        unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _domain(
    domain: str, home: Path, tensors: dict[str, Tensor] | None
) -> tuple[Adapter, dict[str, Tensor], AdapterConfig]:
    """One domain's adapter, the updates of its base, and what is known of both."""
    base = load_base(home, torch.float16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # for what is fresh, so that equal parts make equal files
        updates: dict[str, Tensor] = {}
        if tensors is None:
            adapter = Adapter(base.unet, AdapterSizes(DIMENSIONS[FREE_ENCODER]))
        else:
            adapter, updates = adapter_of(base.unet, tensors)
    config = AdapterConfig(
        domain,
        FREE_ENCODER if tensors is None else ENCODER,
        adapter.sizes.identity_dimension,
        base_sha256=sha256_of(home / UNET_FILE),
        identity_tokens=adapter.sizes.identity_tokens,
        resolution=base.image_size,
        prediction=NoiseSchedule.of(base.scheduler).prediction,
        rank=adapter.sizes.rank,
        projector_width=adapter.sizes.projector_width,
        expressions=(),
        advice=STRONG,
    )
    return adapter, updates, config


def _faceid_file(what: str | Path, models: Path | None) -> Path:
    if Path(what).is_file():
        return Path(what)
    folder = models_folder(models)
    model = find(str(what), folder)
    if model is None or model.kind != "faceid":
        raise InputError(
            f"there is no file {str(what)!r} and no FaceID model of this name in {folder}:"
            f" run: id3d models add {what}"
        )
    return folder / model.name / model.files[0].path


def _reference(name: str) -> str:
    """How the adapter names its base: a folder by its whole path, anything else as the user does."""
    return str(Path(name).resolve()) if Path(name).is_dir() else name
