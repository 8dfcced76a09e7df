"""From shards to a prior folder: autoencoder, cached latents, denoiser with adapters, start head.

    train(dataset, out, TrainingConfig())                  # a base of its own, then everything
    train(dataset, out, TrainingConfig(...), base=FOLDER)  # adapters on a frozen base (the paper's split)
    train(dataset, out, TrainingConfig(...), begin=PRIOR)  # everything, from an earlier prior's weights

`out` becomes a prior folder (`unet/ vae/ ... geometry.* albedo.* start.safetensors card.md`) that
`Prior.load` reads, and is rewritten at every save. Checkpoints, curves and sample grids lie in
`out.work` beside it; running the same call again goes on from there.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import CLIPTokenizer

from ..device import mixed_precision
from ..errors import InputError
from ..expressions import EXPRESSIONS, NEUTRAL
from ..identity.dlib_encoder import DlibEncoder
from ..job import Job, Listener, silent
from .adapter_files import UNET_FILE, AdapterConfig, load_adapter, save_adapter, sha256
from .adapters import Adapter, AdapterSizes
from .base import Base, load_base, save_base, set_latent_scale
from .card import write_card
from .curves import Curve
from .locate import locate
from .noise import NoiseSchedule
from .photo_gap import Photos, read_photos, with_photo_gap
from .prompts import DOMAINS, UNCONDITIONAL, expression_text, prompt
from .samples import write_grid
from .shards import Samples, decode_pngs, find_shards, read_shards
from .start import MEASURED_FILE, START_FILE, save_start
from .starter_base import StarterConfig, build_starter_base
from .tokenizer import save_clip_files
from .train_denoiser import CachedData, Denoiser, DenoiserTraining, standardise_identity, train_denoiser
from .train_start import People, train_starts
from .train_vae import VaeTraining, reconstruction_psnr, train_vae


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Attributes:
        vae, denoiser: See their classes.
        starter: Sizes of a new base, but for its image size, which is the dataset's; unused when a
            base is given.
        sizes: Shapes of the adapters.
        precision: "auto", "no", "bf16" or "fp16", see `device.mixed_precision`.
        seed: Of everything.
    """

    vae: VaeTraining = field(default_factory=VaeTraining)
    denoiser: DenoiserTraining = field(default_factory=DenoiserTraining)
    starter: StarterConfig = field(default_factory=StarterConfig)
    sizes: AdapterSizes = field(default_factory=lambda: AdapterSizes(DlibEncoder.dimensions, rank=16))
    precision: str = "auto"
    seed: int = 0


def train(
    dataset: Path,
    out: Path,
    config: TrainingConfig,
    *,
    base: str | Path | None = None,
    begin: str | Path | None = None,
    photos: Path | None = None,
    listener: Listener = silent,
    cancel: threading.Event | None = None,
) -> None:
    """Train a prior folder at `out` on the shards in `dataset`.

    Args:
        dataset: What `build_dataset` wrote.
        out: The prior's folder. The same call again goes on from the checkpoints in `out.work`.
        config: Settings.
        base: A pipeline folder or hub id whose weights stay frozen; None trains a starter base.
        begin: A prior with a base of its own, whose weights to begin from; None begins from noise.
        photos: A folder of photographs of many people with a table of who they are, so that training sees
            embeddings as photographs give them too (`photo_gap.py`); None trains on those of renders.
        listener: Receives `Progress`.
        cancel: Set it to stop; a checkpoint is kept.

    Raises:
        InputError: the dataset has no shards, its embeddings do not fit `config.sizes`, its images
            do not fit the base, the precision is unknown, `out.work` holds another training, both
            `base` and `begin` are given, or `photos` cannot be used.
        Cancelled: `cancel` was set.
    """
    if base is not None and begin is not None:
        raise InputError("a frozen base has no weights to begin from: give --base or --begin, not both")
    accelerator = Accelerator(mixed_precision=mixed_precision(config.precision))
    samples = read_shards(find_shards(dataset))
    _check_embeddings(samples, config)
    work = out.with_name(out.name + ".work")
    _claim(work, samples, config, base, begin, photos)
    job = Job(work, seed=config.seed, listener=listener, cancel=cancel)
    metrics: dict[str, float] = {}
    people = People.of(samples)
    faces = None if photos is None else read_photos(photos, DlibEncoder())
    if faces is not None:
        gap = people.gap(people.embeddings, faces, faces.embeddings)
        away = np.linalg.norm(gap.at(faces.attributes).mean(axis=0))
        metrics |= {"photo_faces": len(faces.embeddings), "photo_gap": round(float(away), 3)}
        samples = with_photo_gap(samples, gap)
    _seed(config.seed)
    if base is None:
        home = out
        if begin is None:
            parts = _new_base(samples, config, work / "tokenizer")
        else:
            parts = load_base(locate(begin))
            _check_size(parts, samples)
        _train_vae(parts, samples, config, job, accelerator, metrics)
    else:
        home = locate(base)
        parts = load_base(home)
        _check_size(parts, samples)
        config = replace(config, denoiser=replace(config.denoiser, train_base=False))
    parts.vae.to(accelerator.device)
    data = cache(parts, samples, job)
    # Anew, so that a run which finds its autoencoder finished draws the same adapters.
    _seed(config.seed)
    if begin is None:
        adapters = {domain: Adapter(parts.unet, config.sizes) for domain in DOMAINS}
        for adapter in adapters.values():
            standardise_identity(adapter, data.identity.flatten(0, 1))
    else:
        adapters = {domain: load_adapter(parts.unet, locate(begin), domain)[0].train() for domain in DOMAINS}
    model = Denoiser(parts.unet, parts.text_encoder, adapters)
    schedule, curve = NoiseSchedule.of(parts.scheduler), Curve(work / "denoiser.jsonl")
    out.mkdir(parents=True, exist_ok=True)
    _write_starts(people, faces, work, out)

    def save(step: int) -> None:
        if not accelerator.is_main_process:
            return
        Adapter.remove(parts.unet)
        if config.denoiser.train_base:
            save_base(parts, out)
        found = {"step": step, **metrics, **curve.last()}
        description = AdapterConfig(
            domain=DOMAINS[0],
            identity_encoder=DlibEncoder.name,
            identity_dimension=config.sizes.identity_dimension,
            identity_tokens=config.sizes.identity_tokens,
            base=str(base or out.name),
            base_sha256=sha256(home / UNET_FILE),
            rank=config.sizes.rank,
            projector_width=config.sizes.projector_width,
            resolution=samples.image_size,
            prediction=schedule.prediction,
            training=asdict(config.denoiser),
            metrics=found,
        )
        for domain, adapter in adapters.items():
            save_adapter(adapter, replace(description, domain=domain, image_convention=""), out)
        facts = config_facts(config, samples)
        if begin is not None:
            facts["begun from"] = f"another prior's weights ({Path(begin).name})"
        write_card(out, facts, found, base=None if base is None else str(base))
        for domain in DOMAINS:
            grid = work / f"samples-{domain}-{step:06d}.png"
            write_grid(out, domain, samples, grid, device=accelerator.device)

    train_denoiser(model, schedule, data, config.denoiser, job, accelerator, curve, save)


def _write_starts(people: People, faces: Photos | None, work: Path, out: Path) -> None:
    """The start regressors, fitted once and kept beside the checkpoints."""
    if not (work / START_FILE).is_file():
        # The plain one last: where it lies, both are there.
        for regressor in reversed(train_starts(people, faces)):
            save_start(regressor, work)
    for path in (work / START_FILE, work / MEASURED_FILE):
        if path.is_file():
            shutil.copyfile(path, out / f"{path.name}.tmp")
            os.replace(out / f"{path.name}.tmp", out / path.name)


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)


def _check_embeddings(samples: Samples, config: TrainingConfig) -> None:
    found = samples.identity[0].shape[1]
    if found != config.sizes.identity_dimension:
        raise InputError(
            f"the dataset's embeddings have {found} numbers but the adapters want "
            f"{config.sizes.identity_dimension}: build the dataset with the same identity encoder"
        )


def _new_base(samples: Samples, config: TrainingConfig, vocabulary: Path) -> Base:
    """A base with random weights, and the vocabulary that is kept at `vocabulary`."""
    known = CLIPTokenizer.from_pretrained(vocabulary) if vocabulary.is_dir() else None
    starter = replace(config.starter, image_size=samples.image_size)
    parts = build_starter_base(all_texts(samples), starter, tokenizer=known)
    if known is None:
        _keep_vocabulary(parts, vocabulary)
    return parts


def _keep_vocabulary(parts: Base, folder: Path) -> None:
    """Beside the checkpoints: a training that goes on has to read texts as it began to."""
    temporary = folder.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    save_clip_files(parts.tokenizer, temporary)
    os.replace(temporary, folder)


def _claim(
    work: Path,
    samples: Samples,
    config: TrainingConfig,
    base: str | Path | None,
    begin: str | Path | None,
    photos: Path | None,
) -> None:
    """Note what is trained in `work`, or check that the checkpoints there are of the same training.

    The numbers of steps may differ, so that a training can be ended early or prolonged.
    """
    wanted = asdict(config)
    for stage, names in (("vae", ("steps",)), ("denoiser", ("steps", "save_every"))):
        for name in names:
            del wanted[stage][name]
    wanted |= {
        "base": str(base),
        "begin": str(begin),
        "photos": str(photos),
        "samples": len(samples.records),
        "image_size": samples.image_size,
    }
    text = json.dumps(wanted, indent=2)
    note = work / "training.json"
    if note.is_file() and note.read_text(encoding="utf-8") != text:
        raise InputError(f"{work} holds another training: delete it, or choose another --out")
    work.mkdir(parents=True, exist_ok=True)
    temporary = note.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, note)


def _check_size(base: Base, samples: Samples) -> None:
    """Raise unless the renders are as large as the base's images."""
    size = base.unet.config.sample_size * 2 ** (len(base.vae.config.block_out_channels) - 1)
    if samples.image_size != size:
        raise InputError(
            f"the dataset's images are {samples.image_size} px and the base works on {size} px: "
            f"build the dataset with --image-size {size}"
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

    def prompts(domain: str, *, caption: bool, expression: bool) -> Tensor:
        return tokens(
            [
                prompt(
                    r["caption"] if caption else None,
                    r["view"],
                    domain,
                    r["descriptor"] if expression else None,
                )
                for r in samples.records
            ]
        )

    return CachedData(
        latents=latents,
        identity=torch.from_numpy(identity),
        prompts={d: prompts(d, caption=True, expression=False) for d in DOMAINS},
        plain_prompts={d: prompts(d, caption=True, expression=True) for d in DOMAINS},
        bare_prompts={d: prompts(d, caption=False, expression=False) for d in DOMAINS},
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
