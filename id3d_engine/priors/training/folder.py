"""What lies beside a training's checkpoints: whose they are, the vocabulary, the start regressors."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import CLIPTokenizer

from ...errors import InputError
from ...expressions import EXPRESSIONS, NEUTRAL
from ..base import Base
from ..locate import STARTER_FOLDER
from ..prompts import DOMAINS, UNCONDITIONAL, expression_text, prompt
from ..start import MEASURED_FILE, START_FILE, load_start, save_start
from ..tokenizer import save_clip_files
from .photo_gap import Photos
from .shards import Samples
from .starter_base import StarterConfig, build_starter_base
from .starts import People, train_starts

if TYPE_CHECKING:
    from .train import TrainingConfig

# People that a start regressor is fitted to: its memory grows with the square of their photos.
FITTED = 2000

# What may differ when a training goes on: how long it takes, and how it is spread over machines.
FREE = {"vae": ("steps",), "denoiser": ("steps", "save_every", "checkpointing")}


def claim(
    work: Path,
    shards: Sequence[str],
    config: TrainingConfig,
    *,
    base: str | Path | None,
    begin: str | Path | None,
    photos: Path | None,
) -> None:
    """Note what is trained in `work`, or check that the checkpoints there are of the same training.

    Raises:
        InputError: they are not.
    """
    wanted = asdict(config)
    for stage, names in FREE.items():
        for name in names:
            del wanted[stage][name]
    del wanted["shard_base"]
    wanted |= {"base": str(base), "begin": str(begin), "photos": str(photos), "data": _digest(shards)}
    text = json.dumps(wanted, indent=2)
    note = work / "training.json"
    if note.is_file() and note.read_text(encoding="utf-8") != text:
        raise InputError(f"{work} holds another training: delete it, or choose another --out")
    work.mkdir(parents=True, exist_ok=True)
    if not note.is_file():
        temporary = note.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, note)


def _digest(shards: Sequence[str]) -> str:
    """Of names and sizes in a folder, wherever it lies; of addresses as they are."""
    paths = [Path(shard) for shard in shards]
    listed = [
        f"{path.name} {path.stat().st_size}" if path.is_file() else shard
        for path, shard in zip(paths, shards, strict=True)
    ]
    return hashlib.sha256("\n".join(listed).encode()).hexdigest()


def new_base(samples: Samples, sizes: StarterConfig, vocabulary: Path) -> Base:
    """A base with random weights for images of the samples' size.

    Its vocabulary is kept at `vocabulary`: a training that goes on has to read texts as it began to.
    """
    known = CLIPTokenizer.from_pretrained(vocabulary) if vocabulary.is_dir() else None
    sizes = replace(sizes, image_size=samples.image_size)
    parts = build_starter_base(_all_texts(samples), sizes, tokenizer=known)
    if known is None:
        temporary = vocabulary.with_suffix(".tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        save_clip_files(parts.tokenizer, temporary)
        os.replace(temporary, vocabulary)
    return parts


def _all_texts(samples: Samples) -> list[str]:
    """Every text that training will show, for the tokenizer."""
    texts = [prompt(r["caption"], r["view"], d) for r in samples.records for d in DOMAINS]
    return texts + [e.descriptor for e in (NEUTRAL, *EXPRESSIONS)] * 50


def kinds_of_text(samples: Samples) -> list[list[str]]:
    """What training shows: descriptors of expressions (and nothing said), views alone, and captions."""
    records = samples.records
    descriptors = [expression_text(e.descriptor) for e in (NEUTRAL, *EXPRESSIONS)]
    views = {prompt(None, r["view"], d) for r in records for d in DOMAINS}
    captions = {
        prompt(r["caption"], r["view"], d, e)
        for r in records
        for d in DOMAINS
        for e in (None, r["descriptor"])
    }
    return [[*descriptors, UNCONDITIONAL], sorted(views), sorted(captions)]


def write_starts(people: People, faces: Photos | None, work: Path, out: Path) -> str:
    """Put start regressors into the prior's folder `out`.

    They are fitted once and kept in `work`. Of scans nobody knows the numbers that they predict, so a
    prior trained on scans takes the packaged starter's, which reads photos by its own recogniser.

    Returns:
        A sentence for the user where something else than usual was done, or "".
    """
    home, sentence = work, ""
    if any(record["target"] is None for record in people.records):
        packaged = load_start(STARTER_FOLDER)
        if packaged is None:
            return "heads start from the mean head: no start regressor is fitted to scans"
        home, sentence = (
            STARTER_FOLDER,
            "heads start from the packaged starter's regressor, not from the scans",
        )
    elif not (work / START_FILE).is_file():
        # The plain one last: where it lies, both are there.
        for regressor in reversed(train_starts(people.first(FITTED), faces)):
            save_start(regressor, work)
    for path in (home / START_FILE, home / MEASURED_FILE):
        if path.is_file():
            shutil.copyfile(path, out / f"{path.name}.tmp")
            os.replace(out / f"{path.name}.tmp", out / path.name)
    return sentence
