"""From photos to a head bundle: the whole method.

    photos -> identity -> start head -> DMTet surface per expression (score distillation on normals)
    -> one template wrapped onto all of them -> expressions refined at fixed topology
    -> albedo, roughness, specular (score distillation on pseudo-albedo) -> hair as strands -> bundle

The stages themselves are in `stages.py`; `edit.py` walks the same way from a finished head.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .expressions import ARKIT_NAMES, select
from .head import Head, check_destination
from .job import Job, Listener, silent
from .stages import (
    Offsets,
    Task,
    colour,
    describe,
    find_identity,
    find_start,
    finish,
    looks,
    shape,
    textures,
    wished,
    working_folder,
)
from .topology import DMTET, FINE, TOPOLOGIES, refined

if TYPE_CHECKING:
    from .appearance.maps import Maps
    from .config import Preset
    from .geometry.closest import Surface
    from .geometry.fields import PosedHead
    from .identity import Identity
    from .priors.start import HeadStart


@dataclass(frozen=True)
class Request:
    """What was asked for; a run resumes only under the same request."""

    identity_sha256: str
    encoder: str
    text: str
    prior: str
    preset: str
    expressions: tuple[str, ...]
    topology: str
    seed: int


def generate(
    photos: Sequence[Path | str] | None = None,
    *,
    out: Path | str,
    identity: Path | str | Identity | None = None,
    text: str = "",
    prior: str | Path = "starter",
    preset: str | Preset = "draft",
    expressions: str | Sequence[str] = "all",
    topology: str = FINE,
    device: str = "auto",
    compiled: bool = False,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    save_identity: bool = False,
    listener: Listener = silent,
    cancel: threading.Event | None = None,
) -> Head:
    """Make one expressive, relightable head of one person.

    Args:
        photos: Pictures of one person; or give `identity`.
        out: The bundle's folder, `NAME.head`.
        identity: A saved identity (`.id`) or an `Identity`, instead of photos.
        text: What the head should look like besides, e.g. "with short buzzcut hairstyle".
        prior: "starter", a prior folder, or a hub id.
        preset: "draft", "standard", "high", or settings of your own.
        expressions: "all", or names of the 13; the 52 ARKit units are always there.
        topology: The mesh: "fine", "template" or "dmtet" (see `topology`).
        device: "auto", "cpu" or "cuda".
        compiled: Try torch.compile on the priors: minutes at first, for long jobs (`priors/quicken.py`).
        seed: Same seed, inputs and machine: same bytes on a CPU.
        resume: Go on from the checkpoints of a stopped run with the same request.
        overwrite: Replace a bundle that is at `out`.
        save_identity: Keep the embedding in the bundle (it is personal data).
        listener: Receives `Progress`.
        cancel: Set it to stop; a checkpoint is kept.

    Returns:
        The head, already written to `out`.

    Raises:
        InputError: what is given cannot be used; nothing was written.
        Cancelled: `cancel` was set.
        Id3dError: see `errors`.
    """
    from .config import label, settings_of
    from .device import pick
    from .geometry.unwrap import load_xatlas
    from .haired import haired, raised
    from .priors.adapter_files import check_prior
    from .template import load_template

    out = Path(out)
    check_destination(out, overwrite=overwrite)
    if topology not in TOPOLOGIES:
        raise InputError(f"unknown topology {topology!r}: choose one of {', '.join(TOPOLOGIES)}")
    if topology == DMTET:
        load_xatlas()  # better now than after the work
    cast, where, template = select(expressions), pick(device), load_template()
    settings = settings_of(preset, prior)
    check_prior(prior)
    told: list[str] = []  # of the user's photos, by their names
    person = find_identity(photos, identity, prior, told.append)
    start = find_start(photos, person, prior, template, told.append)
    names = tuple(e.name for e in cast)
    request = Request(person.sha256(), person.encoder, text, str(prior), label(preset), names, topology, seed)
    work = working_folder(out, request, resume)
    job = Job(work, seed=seed, listener=listener, cancel=cancel)
    for sentence in told:
        job.note(sentence, keep=False)
    start = wished(start, text, template, job.note)

    task = Task(template, person.embedding, cast, text, prior, settings, where, job, compiled)
    hanging = topology == DMTET  # else strands hang, and the mesh has a cap
    neutral = raised(start, template, hanging=hanging)
    vertices, offsets, surface = shape(posed(neutral, task), task)
    maps = painted(start, vertices, offsets, hanging, task)
    head = assemble(vertices, offsets, maps, describe(request, task) | looks(start.appearance), task)
    head = head if hanging else haired(head, start.appearance, template, seed)
    if topology == FINE:
        head = refined(head)
    if topology == DMTET:
        head = with_surface(head, surface, vertices, offsets, maps, task)
    return finish(head, out, work, overwrite=overwrite, identity=person if save_identity else None)


def posed(neutral: NDArray[np.float32], task: Task) -> PosedHead:
    """(V, 3) the start head in every expression, by its recipe in the head's own ARKit units."""
    from .geometry.fields import PosedHead
    from .rig.units import pose, transfer_units

    units = transfer_units(task.template, neutral)
    offsets = {e.name: pose(units, e.recipe) for e in task.cast}
    return PosedHead(neutral, offsets, task.template.triangles, task.template)


def painted(
    start: HeadStart, vertices: NDArray[np.float32], offsets: Offsets, hanging: bool, task: Task
) -> Maps:
    """The maps, from textures authored for the start head's appearance; `hanging` as in `style_of`."""
    from .appearance.detail import Detail
    from .assets.skin import author_textures

    look = start.appearance
    authored = author_textures(task.template, look, task.settings.paint.size, hanging)
    return colour(vertices, offsets, authored, Detail.of(look), task, keep_tone=start.tone_seen)


def assemble(
    vertices: NDArray[np.float32], offsets: Offsets, maps: Maps, info: dict[str, Any], task: Task
) -> Head:
    """The parts as one bundle: FaceWarehouse expressions first, then the 52 ARKit units."""
    names = (*(e.name for e in task.cast), *ARKIT_NAMES)
    return Head(
        vertices=vertices,
        faces=task.template.faces,
        uv=task.template.uv,
        part=task.template.part,
        shape_keys=np.stack([offsets[name] for name in names]),
        names=names,
        textures=textures(maps),
        info=info,
    )


def with_surface(
    head: Head,
    surface: Surface,
    vertices: NDArray[np.float32],
    offsets: Offsets,
    maps: Maps,
    task: Task,
) -> Head:
    """The same head on the sculpted surface instead of the template that was wrapped onto it."""
    from .raw.topology import raw_topology

    raw = raw_topology(surface, task.template, vertices, offsets, maps)
    return replace(
        head,
        vertices=raw.vertices,
        faces=raw.faces,
        uv=raw.uv,
        part=raw.part,
        shape_keys=np.stack([raw.offsets[name] for name in head.names]),
        textures=textures(raw.maps),
    )
