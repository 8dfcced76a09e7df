"""From shards to a prior folder: autoencoder, encoded data, denoiser with adapters, start head.

    train(dataset, out, TrainingConfig())                     # a base of its own, then everything
    train(dataset, out, TrainingConfig.on_base(), base=BASE)  # adapters on a frozen base (the paper's split)
    train(dataset, out, TrainingConfig(...), begin=PRIOR)     # everything, from an earlier prior's weights

`out` becomes a prior folder (`unet/ vae/ ... geometry.* albedo.* start.safetensors card.md`) that
`Prior.load` reads, and is rewritten at every save. Checkpoints, encoded data, curves and sample grids
lie in `out.work` beside it; running the same call again goes on from there. Under `accelerate launch`
every process makes this call (`parallel.py`).
"""

from __future__ import annotations

import json
import random
import threading
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from ...device import release
from ...digest import sha256_of
from ...errors import InputError
from ...identity.encoders import DIMENSIONS, load_encoder
from ...job import Job, Listener, silent
from ..adapter_files import UNET_FILE, load_adapter
from ..adapters import Adapter, AdapterSizes
from ..base import Base, image_size, load_base, set_image_size, set_latent_scale
from ..locate import locate
from ..noise import NoiseSchedule
from ..prompts import DOMAINS
from .curves import Curve
from .data import training_data
from .denoiser import Denoiser, DenoiserTraining, standardise_identity, train_denoiser
from .folder import claim, kinds_of_text, new_base, write_starts
from .latents import Encoded, check, encode_shards, open_encoded
from .parallel import AgreedCancel, shard_base, start_processes
from .photo_gap import read_photos, with_photo_gap
from .result import Result
from .shards import Samples, decode_pngs, read_shards, shard_addresses
from .starter_base import StarterConfig
from .vae import VaeTraining, reconstruction_psnr, train_vae
from .words import WordsTraining, teach_words

# What a frozen base weighs in, by accelerate's name of the precision; adapters stay float32.
BASE_DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TrainingConfig:
    """One training run.

    Attributes:
        vae, words, denoiser: See their classes.
        starter: Sizes of a new base, but for its image size, which is the dataset's; unused when a
            base is given.
        sizes: Shapes of the adapters.
        precision: "auto", "no", "bf16" or "fp16", see `device.mixed_precision`.
        shard_base: Split a frozen base's weights among the processes.
        seed: Of everything.
    """

    vae: VaeTraining = field(default_factory=VaeTraining)
    words: WordsTraining = field(default_factory=WordsTraining)
    denoiser: DenoiserTraining = field(default_factory=DenoiserTraining)
    starter: StarterConfig = field(default_factory=StarterConfig)
    sizes: AdapterSizes = field(default_factory=lambda: AdapterSizes(DIMENSIONS["dlib"], rank=16))
    precision: str = "auto"
    shard_base: bool = False
    seed: int = 0

    @classmethod
    def on_base(cls) -> TrainingConfig:
        """Settings for adapters on a frozen base of Stable Diffusion's size and one GPU of 24 GB."""
        return cls(
            denoiser=DenoiserTraining(batch=8, learning_rate=1e-4, train_base=False),
            sizes=AdapterSizes(DIMENSIONS["dlib"]),
        )


def train(
    dataset: str | Path,
    out: Path,
    config: TrainingConfig,
    *,
    base: str | Path | None = None,
    begin: str | Path | None = None,
    photos: Path | None = None,
    listener: Listener = silent,
    cancel: threading.Event | None = None,
) -> None:
    """Train a prior folder at `out` on the shards of `dataset`.

    Args:
        dataset: A folder that `build_dataset` wrote, or a WebDataset pattern of addresses of such shards
            (`shard_addresses`).
        out: The prior's folder. The same call again goes on from the checkpoints in `out.work`.
        config: Settings.
        base: A pipeline folder or hub id whose weights stay frozen; None trains a starter base.
        begin: A prior with a base of its own, whose weights to begin from; None begins from noise. It takes
            on the size of the dataset's images.
        photos: A folder of photographs of many people with a table of who they are, so that training sees
            embeddings as photographs give them too (`photo_gap.py`); None trains on those of renders.
        listener: Receives `Progress`, of the first process only.
        cancel: Set it to stop; a checkpoint is kept.

    Raises:
        InputError: the dataset has no shards, its embeddings do not fit `config.sizes`, its images
            do not fit the base, the precision is unknown, `out.work` holds another training, both
            `base` and `begin` are given, `photos` cannot be used, or `config` does not fit the processes.
        MissingDependency: the dataset's addresses or the optimiser need a package that is not installed.
        Cancelled: `cancel` was set.
    """
    if base is not None and begin is not None:
        raise InputError("a frozen base has no weights to begin from: give --base or --begin, not both")
    if config.shard_base and base is None:
        raise InputError("--shard-base splits a frozen base: give one with --base")
    processes = start_processes(config.precision)
    first = processes.is_main_process
    cancel = cancel or threading.Event()
    if base is not None:
        config = replace(config, denoiser=replace(config.denoiser, train_base=False))
    shards, work = shard_addresses(dataset), out.with_name(out.name + ".work")
    with processes.main_process_first():
        claim(work, shards, config, base=base, begin=begin, photos=photos)
    job = Job(
        work,
        seed=config.seed,
        listener=listener if first else silent,
        cancel=AgreedCancel(cancel, processes) if processes.num_processes > 1 else cancel,
        writes=first,
    )
    metrics: dict[str, float] = {}
    _seed(config.seed)
    if base is not None:
        parts = load_base(locate(base))
    else:
        parts = _trained_base(shards, config, begin, work, job, processes, metrics)
    encoded = _encoded(parts, shards, work, config, processes, job.listener, cancel)
    people, identity = encoded.people, encoded.identity()
    faces = None if photos is None else read_photos(photos, load_encoder(people.encoder))
    if faces is not None:
        gap = people.gap(people.embeddings, faces, faces.embeddings)
        away = np.linalg.norm(gap.at(faces.attributes).mean(axis=0))
        metrics |= {"photo_faces": len(faces.embeddings), "photo_gap": round(float(away), 3)}
        identity = with_photo_gap(identity, people.records, gap)
    data = training_data(encoded, identity, parts.tokenizer)
    adapters = _adapters(parts, config, begin, data.identity)
    if base is not None:
        torch.nn.Module.to(parts.unet, BASE_DTYPES[processes.mixed_precision])
    if config.shard_base:
        shard_base(parts.unet, processes)
    schedule, curve = NoiseSchedule.of(parts.scheduler), Curve(work / "denoiser.jsonl" if first else None)
    facts = _facts(config, len(people.records), len(encoded.said), begin)
    if first:
        out.mkdir(parents=True, exist_ok=True)
        if start := write_starts(people, faces, work, out):
            job.note(start)
            facts["start head"] = start
    result = Result(
        out,
        work,
        parts,
        adapters,
        encoded,
        sizes=config.sizes,
        resolution=parts.image_size,
        base=None if base is None else str(base),
        base_sha256="" if base is None or not first else sha256_of(locate(base) / UNET_FILE),
        prediction=schedule.prediction,
        training=config.denoiser,
        facts=facts,
    )

    def save(step: int) -> None:
        if first:
            result.save({"step": step, **metrics, **curve.last()}, job, processes.device)
        processes.wait_for_everyone()

    model = Denoiser(parts.unet, adapters)
    train_denoiser(model, parts.text_encoder, schedule, data, config.denoiser, job, processes, curve, save)
    release()


def _encoded(
    parts: Base,
    shards: list[str],
    work: Path,
    config: TrainingConfig,
    processes: Accelerator,
    listener: Listener,
    cancel: threading.Event,
) -> Encoded:
    """The dataset as training reads it, which never looks at a picture again."""
    parts.vae.to(processes.device)
    encode_shards(
        shards,
        work / "latents",
        parts.vae,
        # Shares differ in length, so here every process is cancelled for itself.
        Job(listener=listener, cancel=cancel),
        image_size=parts.image_size,
        dimension=config.sizes.identity_dimension,
        share=(processes.process_index, processes.num_processes),
    )
    parts.vae.to("cpu")
    processes.wait_for_everyone()
    return open_encoded(work / "latents", len(shards))


def _adapters(
    parts: Base, config: TrainingConfig, begin: str | Path | None, identity: torch.Tensor
) -> dict[str, Adapter]:
    # The seed anew, so that a run which finds its autoencoder finished draws the same adapters.
    _seed(config.seed)
    if begin is not None:
        return {domain: load_adapter(parts.unet, locate(begin), domain)[0].train() for domain in DOMAINS}
    adapters = {domain: Adapter(parts.unet, config.sizes) for domain in DOMAINS}
    for adapter in adapters.values():
        standardise_identity(adapter, identity.flatten(0, 1))
    return adapters


def image_size_of(base: str | Path) -> int:
    """Pixels a side of what a pipeline folder or installed model works on, without loading weights.

    Raises:
        InputError: there is none.
    """
    home = locate(base)
    try:
        unet, vae = (json.loads((home / part / "config.json").read_text()) for part in ("unet", "vae"))
        return image_size(unet, vae)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{base} is no Stable Diffusion pipeline ({error}): give another --base") from error


def _trained_base(
    shards: list[str],
    config: TrainingConfig,
    begin: str | Path | None,
    work: Path,
    job: Job,
    processes: Accelerator,
    metrics: dict[str, float],
) -> Base:
    """A base to be trained, text encoder and autoencoder finished; all pictures are in memory meanwhile."""
    samples = read_shards(shards)
    if begin is None:
        with processes.main_process_first():
            parts = new_base(samples, config.starter, work / "tokenizer")
    else:
        parts = load_base(locate(begin))
        set_image_size(parts, samples.image_size)
    check(samples, parts.image_size, config.sizes.identity_dimension)
    curve = Curve(work / "words.jsonl" if processes.is_main_process else None)
    kinds = kinds_of_text(samples)
    teach_words(parts.text_encoder, parts.tokenizer, kinds, config.words, job, processes, curve)
    _train_vae(parts, samples, config, job, processes, metrics)
    return parts


def _train_vae(
    parts: Base,
    samples: Samples,
    config: TrainingConfig,
    job: Job,
    processes: Accelerator,
    metrics: dict[str, float],
) -> None:
    assert job.folder is not None
    pngs = [*samples.normals, *samples.albedo]
    # One picture in fifty is kept back to measure what the autoencoder keeps of what it has not seen.
    held_out, seen = pngs[::50], [png for i, png in enumerate(pngs) if i % 50]
    curve = Curve(job.folder / "vae.jsonl" if processes.is_main_process else None)
    train_vae(parts.vae, seen, config.vae, job, processes, curve)
    images = decode_pngs(held_out[:64]).to(processes.device)
    with torch.no_grad():
        set_latent_scale(parts.vae, parts.vae.encode(images * 2 - 1).latent_dist.mode())
    metrics["vae_psnr_db"] = round(reconstruction_psnr(parts.vae, images), 2)


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)


def _facts(config: TrainingConfig, subjects: int, views: int, begin: str | Path | None) -> dict[str, object]:
    """What the model card says of data and settings."""
    facts: dict[str, object] = {
        "subjects": subjects,
        "views": views,
        "seed": config.seed,
        "precision": config.precision,
        "vae": json.dumps(asdict(config.vae)),
        "words": json.dumps(asdict(config.words)),
        "denoiser": json.dumps(asdict(config.denoiser)),
        "adapter": json.dumps(asdict(config.sizes)),
    }
    if begin is not None:
        facts["begun from"] = f"another prior's weights ({Path(begin).name})"
    return facts
