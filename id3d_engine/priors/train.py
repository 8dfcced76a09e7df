"""From shards to a prior folder: autoencoder, cached latents, denoiser with adapters, start head.

    train(dataset, out, TrainingConfig())                  # a base of its own, then everything
    train(dataset, out, TrainingConfig(...), base=FOLDER)  # adapters on a frozen base (the paper's split)

`out` becomes a prior folder (`unet/ vae/ ... geometry.* albedo.* start.safetensors card.md`) that
`Prior.load` reads, and is rewritten at every save. Checkpoints, curves and sample grids lie in
`out.work` beside it; running the same call again goes on from there.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ..errors import InputError
from ..expressions import EXPRESSIONS, NEUTRAL
from ..identity.dlib_encoder import DlibEncoder
from ..job import Job, Listener, silent
from ..template import load_template
from .adapter_files import UNET_FILE, AdapterConfig, save_adapter, sha256
from .adapters import Adapter, AdapterSizes
from .base import Base, load_base, save_base, set_latent_scale
from .card import write_card
from .curves import Curve
from .dataset import Samples, find_shards, read_shards
from .noise import NoiseSchedule
from .prompts import DOMAINS, UNCONDITIONAL, expression_text, prompt
from .samples import decode_pngs, write_grid
from .start import fit_ridge, save_start
from .starter_base import StarterConfig, build_starter_base
from .train_denoiser import CachedData, Denoiser, DenoiserTraining, standardise_identity, train_denoiser
from .train_vae import VaeTraining, reconstruction_psnr, train_vae


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Attributes:
        vae, denoiser: See their classes.
        starter: Sizes of a new base; unused when a base is given.
        sizes: Shapes of the adapters.
        precision: accelerate's mixed precision: "no", "bf16" or "fp16".
        seed: Of everything.
    """

    vae: VaeTraining = field(default_factory=VaeTraining)
    denoiser: DenoiserTraining = field(default_factory=DenoiserTraining)
    starter: StarterConfig = field(default_factory=StarterConfig)
    sizes: AdapterSizes = field(default_factory=lambda: AdapterSizes(DlibEncoder.dimensions, rank=16))
    precision: str = "bf16"
    seed: int = 0


def train(
    dataset: Path, out: Path, config: TrainingConfig, *, base: str | None = None, listener: Listener = silent
) -> None:
    """Train a prior folder at `out` on the shards in `dataset`.

    Args:
        base: A pipeline folder or hub id whose weights stay frozen; None trains a starter base.

    Raises:
        InputError: the dataset has no shards, or its embeddings do not fit `config.sizes`.
    """
    torch.manual_seed(config.seed)
    random.seed(config.seed)
    samples = read_shards(find_shards(dataset))
    if samples.identity[0].shape[1] != config.sizes.identity_dimension:
        raise InputError(
            f"the dataset's embeddings have {samples.identity[0].shape[1]} numbers but the adapters want "
            f"{config.sizes.identity_dimension}: build the dataset with the same identity encoder"
        )
    work = out.with_name(out.name + ".work")
    job = Job(work, seed=config.seed, listener=listener)
    accelerator = Accelerator(mixed_precision=config.precision)
    metrics: dict[str, float] = {}
    if base is None:
        parts = build_starter_base(all_texts(samples), config.starter)
        _train_vae(parts, samples, config, job, accelerator, metrics)
    else:
        parts = load_base(Path(base))
        config = replace(config, denoiser=replace(config.denoiser, train_base=False))
    parts.vae.to(accelerator.device)
    data = cache(parts, samples, job)
    adapters = {domain: Adapter(parts.unet, config.sizes) for domain in DOMAINS}
    for adapter in adapters.values():
        standardise_identity(adapter, data.identity.flatten(0, 1))
    model = Denoiser(parts.unet, parts.text_encoder, adapters)
    curve = Curve(work / "denoiser.jsonl")
    _save_start(samples, out)

    def save(step: int) -> None:
        Adapter.remove(parts.unet)
        if config.denoiser.train_base:
            save_base(parts, out)
        _save_adapters(adapters, out, base or out.name, config, {"step": step, **metrics, **curve.last()})
        write_card(out, config_facts(config, samples), {**metrics, **curve.last()})
        for domain in DOMAINS:
            write_grid(out, domain, samples, work / f"samples-{domain}-{step:06d}.png")

    train_denoiser(
        model, NoiseSchedule.of(parts.scheduler), data, config.denoiser, job, accelerator, curve, save
    )


def _train_vae(
    parts: Base, samples: Samples, config: TrainingConfig, job: Job, accelerator: Accelerator, metrics: dict
) -> None:
    assert job.folder is not None
    pngs = [*samples.normals, *samples.albedo]
    # One picture in fifty is kept back to measure what the autoencoder keeps of what it has not seen.
    held_out, seen = pngs[::50], [png for i, png in enumerate(pngs) if i % 50]
    train_vae(parts.vae, seen, config.vae, job, accelerator, Curve(job.folder / "vae.jsonl"))
    images = decode_pngs(held_out[:64]).to(accelerator.device)
    with torch.no_grad():
        set_latent_scale(parts.vae, parts.vae.encode(images * 2 - 1).latent_dist.mode())
    metrics["vae_psnr_db"] = round(reconstruction_psnr(parts.vae, images), 2)


def cache(parts: Base, samples: Samples, job: Job) -> CachedData:
    """Everything of the samples that training reads, computed once and kept by the job."""
    latents = job.remember("latents", lambda: _encode_all(parts, samples))
    photos = max(len(x) for x in samples.identity)
    identity = np.stack([x[np.arange(photos) % len(x)] for x in samples.identity])
    descriptors = [NEUTRAL, *EXPRESSIONS]
    index = {e.name: i for i, e in enumerate(descriptors)}

    def tokens(texts: list[str]) -> Tensor:
        return parts.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids

    def prompts(domain: str, plain: bool) -> Tensor:
        return tokens(
            [
                prompt(r["caption"], r["view"], domain, r["descriptor"] if plain else None)
                for r in samples.records
            ]
        )

    return CachedData(
        latents=latents,
        identity=torch.from_numpy(identity),
        prompts={domain: prompts(domain, False) for domain in DOMAINS},
        plain_prompts={domain: prompts(domain, True) for domain in DOMAINS},
        expression=torch.tensor([index[r["expression"]] for r in samples.records]),
        descriptors=tokens([expression_text(e.descriptor) for e in descriptors]),
        empty=tokens([UNCONDITIONAL]),
    )


@torch.no_grad()
def _encode_all(parts: Base, samples: Samples) -> dict[str, Tensor]:
    device = next(parts.vae.parameters()).device
    scale = parts.vae.config.scaling_factor
    out = {}
    for domain, pngs in (("geometry", samples.normals), ("albedo", samples.albedo)):
        rows = [
            parts.vae.encode(decode_pngs(pngs[i : i + 16]).to(device) * 2 - 1).latent_dist.mode() * scale
            for i in range(0, len(pngs), 16)
        ]
        out[domain] = torch.cat(rows).half().cpu()
    return out


def _save_start(samples: Samples, out: Path) -> None:
    """Fit the start regressor, one row a photo, each subject's target once a photo."""
    rows, targets, seen = [], [], set()
    for record, embeddings in zip(samples.records, samples.identity, strict=True):
        if record["subject"] not in seen:
            seen.add(record["subject"])
            rows.extend(embeddings)
            targets.extend([record["target"]] * len(embeddings))
    shape_size = len(load_template().basis)
    regressor = fit_ridge(np.array(rows), np.array(targets), shape_size=shape_size, encoder=DlibEncoder.name)
    out.mkdir(parents=True, exist_ok=True)
    save_start(regressor, out)


def _save_adapters(
    adapters: dict[str, Adapter], out: Path, base: str, config: TrainingConfig, metrics: dict
) -> None:
    unet = out / UNET_FILE
    for domain, adapter in adapters.items():
        description = AdapterConfig(
            domain=domain,
            identity_encoder=DlibEncoder.name,
            identity_dimension=config.sizes.identity_dimension,
            identity_tokens=config.sizes.identity_tokens,
            base=base,
            base_sha256=sha256(unet) if unet.is_file() else "",
            rank=config.sizes.rank,
            projector_width=config.sizes.projector_width,
            resolution=config.starter.image_size,
            training=asdict(config.denoiser),
            metrics=metrics,
        )
        save_adapter(adapter, description, out)


def all_texts(samples: Samples) -> list[str]:
    """Every text that training will show, for the tokenizer."""
    texts = [prompt(r["caption"], r["view"], d) for r in samples.records for d in DOMAINS]
    return texts + [e.descriptor for e in (NEUTRAL, *EXPRESSIONS)] * 50


def config_facts(config: TrainingConfig, samples: Samples) -> dict[str, object]:
    """What the model card says of data and settings."""
    return {
        "subjects": len({r["subject"] for r in samples.records}),
        "views": len(samples.records),
        "seed": config.seed,
        "precision": config.precision,
        "vae": json.dumps(asdict(config.vae)),
        "denoiser": json.dumps(asdict(config.denoiser)),
        "adapter": json.dumps(asdict(config.sizes)),
    }
