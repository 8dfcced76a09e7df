"""What makes heads of the held-out people: ID3D, its parts, and what it has to beat.

    average     the mean of training heads: knows nothing of the person
    nearest     the training subject whose embedding is nearest
    ridge       plain ridge regression from the embedding: what a linear map knows
    embedding   the start regressor that knows the embedding alone
    start       the one that knows measures and colours, too; before any distillation
    several     the same, told of three photographs
    id3d        the whole method
    no-identity, no-expression, no-domain    the whole method with one branch of the adapters silent
    alone       the whole method from the average head: all it knows of the person is what the prior does
    alone-no-identity, alone-no-expression, alone-no-domain    the same with one branch silent
    plain-sds   one-step score distillation of the unadapted base, from the average head

Silenced branches, and the average head to start from, are weights set to zero in a copy of the prior's
folder; the code is the same.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from ..assets.appearance import AppearanceParameters
from ..assets.sampler import sample_asset
from ..assets.skin import author_textures
from ..config import Preset, settings_of
from ..errors import InputError
from ..expressions import ARKIT_NAMES, EXPRESSIONS
from ..generate import generate
from ..haired import haired, raised
from ..head import Head
from ..identity import Identity
from ..png import to_uint8
from ..priors.adapter_files import Advice
from ..priors.locate import locate
from ..priors.prompts import DOMAINS
from ..priors.start import (
    MEASURED_FILE,
    HeadStart,
    StartRegressor,
    load_start,
    save_start,
    start_head,
    start_of,
)
from ..priors.training.shards import Samples, find_shards, read_shards
from ..priors.training.starts import People, train_start
from ..rig.units import pose, transfer_units
from ..template import HeadTemplate, load_template
from ..topology import TEMPLATE
from .subjects import Subject

AVERAGE_OF = 200  # training subjects
MAP_PX = 512
SILENT = {
    "no-identity": ("to_k_id", "to_v_id"),
    "no-expression": ("to_k_exp", "to_v_exp"),
    "no-domain": (".up.weight",),
    "plain-sds": ("to_k_id", "to_v_id", "to_k_exp", "to_v_exp", ".up.weight"),
}
ALONE = ("alone", *(f"alone-{name}" for name in SILENT if name != "plain-sds"))
FROM_AVERAGE = (*ALONE, "plain-sds")
# A start that knows nobody is asked of from much noise: for a shape's likeness, and for colours as they are.
ASKED = {
    "geometry": Advice(noise=(0.6, 0.3), guidance=4.0, generic=0.0),
    "albedo": Advice(noise=(0.6, 0.25), guidance=1.5, generic=1.0),
}
WHOLE = ("id3d", *SILENT, *ALONE)
METHODS = ("average", "nearest", "ridge", "embedding", "start", "several", *WHOLE)


class Methods:
    """All of them, under one budget.

    Args:
        prior: "starter", or a prior's folder.
        preset: Of the whole method and of those that lack a part of it.
        dataset: What `id3d dataset` wrote; "nearest" and "ridge" need it.
        work: A folder for altered priors.
    """

    def __init__(self, prior: str | Path, preset: str, dataset: Path | None, work: Path) -> None:
        self.prior, self.preset, self.dataset, self.work = prior, preset, dataset, work
        self.template: HeadTemplate = load_template()
        self._home = locate(prior)

    def make(self, name: str, subject: Subject, out: Path) -> None:
        """One head, written to `out`.

        Raises:
            InputError: there is no such method, or it needs a dataset.
        """
        if name in WHOLE:
            self._distil(name, subject, out)
            return
        makers: dict[str, Callable[[Identity], HeadStart]] = {
            "average": lambda person: self._average,
            "nearest": lambda person: self._nearest(person.embedding),
            "ridge": lambda person: self._ridge.head(person.embedding, self.template),
            "embedding": lambda person: start_of(
                self._home, Identity(person.embedding, person.encoder), self.template
            ),
            "start": lambda person: start_of(self._home, person, self.template),
            "several": lambda person: start_of(self._home, person, self.template),
        }
        if name not in makers:
            raise InputError(f"unknown method {name!r}: choose {', '.join(METHODS)}")
        told = subject.several if name == "several" else subject.person
        dressed(makers[name](told), self.template).write(out, preview=False)

    def _distil(self, name: str, subject: Subject, out: Path) -> None:
        preset: str | Preset = self.preset
        if name == "plain-sds":
            whole = settings_of(preset, self.prior)
            # As many fits: it has one a look, where the whole method's looks are followed by several.
            fits = (
                whole.sculpt.rounds * whole.sculpt.inner_steps,
                whole.paint.rounds * whole.paint.inner_steps,
            )
            plain = replace(whole.sculpt, form="plain", quick_rounds=0, rounds=fits[0])
            sds = replace(whole.paint, method="sds", rounds=fits[1])
            preset = replace(whole, sculpt=plain, paint=sds)
        person = subject.person
        if name in FROM_AVERAGE:
            person = Identity(person.embedding, person.encoder)
        generate(
            identity=person,
            out=out,
            prior=self.prior if name == "id3d" else self._altered(name),
            preset=preset,
            topology=TEMPLATE,
            seed=subject.asset.seed,
        )

    def _altered(self, name: str) -> Path:
        folder = self.work / name
        if (folder / "geometry.json").is_file():
            return folder
        unfinished = folder.with_name(f"{name}.tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(self._home, unfinished)
        silent = SILENT.get(name.removeprefix("alone-"), ())
        for domain in DOMAINS:
            path = unfinished / f"{domain}.safetensors"
            tensors = load_file(path)
            for key, value in tensors.items():
                if any(part in key for part in silent):
                    tensors[key] = np.zeros_like(value)
            save_file(tensors, path)
            if name in FROM_AVERAGE:
                about = path.with_suffix(".json")
                about.write_text(
                    json.dumps(json.loads(about.read_text()) | {"advice": asdict(ASKED[domain])})
                )
        start = load_start(unfinished)
        if name in FROM_AVERAGE and start is not None:
            save_start(replace(start, weights=np.zeros_like(start.weights)), unfinished)
            (unfinished / MEASURED_FILE).unlink(missing_ok=True)
        unfinished.replace(folder)
        return folder

    @cached_property
    def _average(self) -> HeadStart:
        assets = [sample_asset(self.template, seed) for seed in range(AVERAGE_OF)]
        look = np.mean([asset.appearance.to_vector() for asset in assets], axis=0)
        skin = np.mean([asset.skin for asset in assets], axis=0)
        return HeadStart(skin.astype(np.float32), AppearanceParameters.from_vector(look))

    def _nearest(self, embedding: NDArray[np.floating]) -> HeadStart:
        samples = self._samples
        apart = [np.linalg.norm(rows - embedding, axis=1).min() for rows in samples.identity]
        target = np.asarray(samples.records[int(np.argmin(apart))]["target"], np.float32)
        size = len(self.template.basis)
        return start_head(self.template, target[:size], AppearanceParameters.from_vector(target[size:]))

    @cached_property
    def _ridge(self) -> StartRegressor:
        return train_start(People.of(self._samples), linear=True)

    @cached_property
    def _samples(self) -> Samples:
        if self.dataset is None:
            raise InputError("the methods nearest and ridge need the training data: give --dataset FOLDER")
        return read_shards(find_shards(self.dataset))


def dressed(start: HeadStart, template: HeadTemplate) -> Head:
    """A start head as a whole one: expressions by recipes, maps as authored, hair as strands."""
    neutral = raised(start, template, hanging=False)
    units = transfer_units(template, neutral)
    maps = author_textures(template, start.appearance, MAP_PX, hanging=False)
    keys = {**{e.name: pose(units, e.recipe) for e in EXPRESSIONS}, **{n: units[n] for n in ARKIT_NAMES}}

    head = Head(
        vertices=neutral,
        faces=template.faces,
        uv=template.uv,
        part=template.part,
        shape_keys=np.stack(list(keys.values())).astype(np.float32),
        names=tuple(keys),
        textures={
            "albedo": to_uint8(maps.albedo_srgb),
            "roughness": to_uint8(maps.roughness),
            "specular": to_uint8(maps.specular),
        },
        info={},
    )
    return haired(head, start.appearance, template, seed=0)
