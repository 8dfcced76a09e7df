"""From photos to a head bundle: the whole method, one function a stage.

    photos -> identity -> start head -> DMTet surface per expression (score distillation on normals)
    -> one template wrapped onto all of them -> expressions refined at fixed topology
    -> albedo, roughness, specular (score distillation on pseudo-albedo) -> bundle

Checkpoints lie in `NAME.head.partial` beside the bundle until it is complete. Everything random
depends on the seed, the stage and the step alone, so a killed run that resumes ends with the same
bytes (`head.json` differs in its timings).
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .expressions import ARKIT_NAMES, Expression, select
from .head import Head, check_destination
from .job import Job, Listener, silent

if TYPE_CHECKING:
    import torch

    from .appearance.maps import Maps
    from .config import Preset
    from .geometry.fields import StartHead
    from .geometry.sculpt import Sculpture
    from .identity import Identity
    from .priors.start import HeadStart
    from .template import HeadTemplate

TOPOLOGIES = ("template",)

Offsets = dict[str, NDArray[np.float32]]


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
    preset: str = "draft",
    expressions: str | Sequence[str] = "all",
    topology: str = "template",
    device: str = "auto",
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
        preset: "draft", "standard" or "high".
        expressions: "all", or names of the 13; the 52 ARKit units are always there.
        topology: "template".
        device: "auto", "cpu" or "cuda".
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
    from .config import preset as preset_named
    from .device import pick
    from .priors.start import find_start
    from .template import load_template

    out = Path(out)
    check_destination(out, overwrite=overwrite)
    if topology not in TOPOLOGIES:
        raise InputError(f"unknown topology {topology!r}: choose {' or '.join(TOPOLOGIES)}")
    settings, cast, where = preset_named(preset), select(expressions), pick(device)
    listener_notes: list[str] = []
    person = find_identity(photos, identity, prior, listener_notes)
    request = Request(
        person.sha256(), person.encoder, text, str(prior), preset, tuple(e.name for e in cast), topology, seed
    )
    work = working_folder(out, request, resume)
    job = Job(work, seed=seed, listener=listener, cancel=cancel)
    for sentence in listener_notes:
        job.note(sentence)

    template = load_template()
    start = find_start(prior, person.embedding, template)
    vertices, offsets = shape(template, start, person, cast, text, prior, settings, where, job)
    maps = colour(template, start, vertices, offsets, person, cast, text, prior, settings, where, job)

    head = assemble(template, vertices, offsets, cast, maps, describe(request, prior, where, job))
    identity_file = person.save(work / "identity.id") if save_identity else None
    head.write(out, overwrite=overwrite, identity_file=identity_file)
    shutil.rmtree(work)
    return head


def find_identity(
    photos: Sequence[Path | str] | None,
    identity: Path | str | Identity | None,
    prior: str | Path,
    notes: list[str],
) -> Identity:
    """The identity that is meant, by the encoder that the prior was trained with.

    Raises:
        InputError: neither or both are given, a photo cannot be used, or the encoder is another.
    """
    from .identity import Identity, identify
    from .priors.adapter_files import read_adapter_config
    from .priors.locate import locate

    if bool(photos) == (identity is not None):
        raise InputError("give photos of one person, or an identity, and not both")
    wanted = read_adapter_config(locate(prior), "geometry").identity_encoder
    if photos:
        return identify([Path(photo) for photo in photos], wanted, notes=notes.append)
    person = identity if isinstance(identity, Identity) else Identity.load(identity)
    if person.encoder != wanted:
        raise InputError(
            f"the identity comes from the {person.encoder} encoder and the prior wants {wanted}: "
            f"make it again from the photos with --encoder {wanted}"
        )
    return person


def working_folder(out: Path, request: Request, resume: bool) -> Path:
    """`NAME.head.partial`, emptied unless the run resumes.

    Raises:
        InputError: the checkpoints there belong to another request.
    """
    work = out.with_name(out.name + ".partial")
    note = work / "request.json"
    wanted = json.dumps(asdict(request), indent=2)
    if resume and note.is_file():
        if note.read_text(encoding="utf-8") != wanted:
            raise InputError(
                f"{work} holds a run with other settings: repeat that command, or leave out --resume"
            )
        return work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    note.write_text(wanted, encoding="utf-8")
    return work


def shape(
    template: HeadTemplate,
    start: HeadStart,
    person: Identity,
    cast: Sequence[Expression],
    text: str,
    prior_name: str | Path,
    settings: Preset,
    device: torch.device,
    job: Job,
) -> tuple[NDArray[np.float32], Offsets]:
    """Geometry: surfaces by score distillation, the template wrapped onto them, expressions refined.

    Returns:
        (V, 3) neutral vertices, and the (V, 3) offsets of every expression and ARKit unit by name.
    """
    from .geometry.fields import StartHead
    from .geometry.polish import polish
    from .geometry.sculpt import sculpt
    from .geometry.units import pose, transfer_units
    from .priors.prior import Prior

    prior = Prior.load(prior_name, "geometry", device)
    units = transfer_units(template, start.neutral)
    posed = StartHead(
        start.neutral, {e.name: pose(units, e.recipe) for e in cast}, template.triangles, template
    )
    sculpture = sculpt(posed, prior, person.embedding, cast, text or None, settings.sculpt, job)
    vertices, units, expressions = wrapped(posed, sculpture, cast, job)
    expressions = polish(
        vertices, expressions, template, prior, person.embedding, cast, text or None, settings.polish, job
    )
    return vertices, {**units, **expressions}


def wrapped(
    start: StartHead, sculpture: Sculpture, cast: Sequence[Expression], job: Job
) -> tuple[NDArray[np.float32], Offsets, Offsets]:
    """One topology: neutral vertices, ARKit units and expressions, the latter two as (V, 3) offsets."""
    from .geometry.expressions_fit import fit_expression
    from .geometry.units import transfer_units
    from .geometry.wrap import wrap

    def fit() -> dict[str, torch.Tensor]:
        import torch

        surfaces, starts, template = sculpture.surfaces, sculpture.starts, start.template
        neutral = wrap(template, start.neutral, surfaces["neutral"], reference=starts["neutral"])
        units = transfer_units(template, neutral)
        expressions = {
            e.name: fit_expression(
                template,
                neutral,
                units,
                e.recipe,
                surfaces[e.name],
                reference=(start.vertices(e.name), starts[e.name]),
            )
            for e in cast
        }
        arrays = {
            "neutral": neutral,
            **{f"unit.{k}": v for k, v in units.items()},
            **{f"expression.{k}": v for k, v in expressions.items()},
        }
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}

    found = {k: v.numpy() for k, v in job.remember("wrap", fit).items()}
    units = {k.removeprefix("unit."): v for k, v in found.items() if k.startswith("unit.")}
    expressions = {e.name: found[f"expression.{e.name}"] for e in cast}
    return found["neutral"], units, expressions


def colour(
    template: HeadTemplate,
    start: HeadStart,
    vertices: NDArray[np.float32],
    offsets: Offsets,
    person: Identity,
    cast: Sequence[Expression],
    text: str,
    prior_name: str | Path,
    settings: Preset,
    device: torch.device,
    job: Job,
) -> Maps:
    """Appearance: the authored start maps, then score distillation on the pseudo-albedo."""
    from .appearance.detail import Detail
    from .appearance.paint import paint
    from .assets.skin import author_textures
    from .priors.prior import Prior

    look, text_or_none = start.appearance, text or None
    textures = author_textures(template, look, settings.paint.size)
    prior = Prior.load(prior_name, "albedo", device)
    return paint(
        vertices,
        offsets,
        template,
        textures,
        prior,
        person.embedding,
        cast,
        text_or_none,
        settings.paint,
        job,
        detail=Detail.of(look),
    )


def assemble(
    template: HeadTemplate,
    vertices: NDArray[np.float32],
    offsets: Offsets,
    cast: Sequence[Expression],
    maps: Maps,
    info: dict[str, Any],
) -> Head:
    """The parts as one bundle: FaceWarehouse expressions first, then the 52 ARKit units."""
    names = (*(e.name for e in cast), *ARKIT_NAMES)
    textures: dict[str, NDArray] = {
        "albedo": maps.albedo_srgb,
        "roughness": maps.roughness,
        "specular": maps.specular,
        "normal": maps.normal,
    }
    for name, own in maps.sets.items():
        textures |= {
            f"{name}_albedo": own.albedo_srgb,
            f"{name}_roughness": own.roughness,
            f"{name}_specular": own.specular,
        }
    return Head(
        vertices=vertices,
        faces=template.faces,
        uv=template.uv,
        part=template.part,
        shape_keys=np.stack([offsets[name] for name in names]),
        names=names,
        textures=textures,
        info=info,
    )


def describe(request: Request, prior: str | Path, device: torch.device, job: Job) -> dict[str, Any]:
    """What `head.json` says of the head's making; never a photo or its path."""
    from .head import sha256_of
    from .priors.locate import locate

    home = locate(prior)
    files = sorted(path for path in home.rglob("*.safetensors"))
    provenance = asdict(request) | {
        "device": device.type,
        "prior_files": {path.relative_to(home).as_posix(): sha256_of(path) for path in files},
    }
    return {"provenance": provenance, "timings_s": dict(job.timings_s), "notes": list(job.notes)}
