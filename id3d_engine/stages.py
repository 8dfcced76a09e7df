"""The stages that making a head and editing one have in common, one function each.

A `Task` says what every stage has to know. Checkpoints lie in `NAME.head.partial` beside the bundle
until it is complete. Everything random depends on the seed, the stage and the step alone, so a
killed run that resumes ends with the same bytes (`head.json` differs in its timings).
"""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import Id3dError, InputError
from .expressions import Expression
from .head import Head
from .job import Job

if TYPE_CHECKING:
    import torch

    from .appearance.detail import Detail
    from .appearance.maps import Maps, Material
    from .assets.appearance import AppearanceParameters
    from .assets.wishes import Wishes
    from .config import Preset
    from .geometry.closest import Surface
    from .geometry.fields import PosedHead
    from .geometry.sculpt import Sculpture
    from .identity import Identity
    from .priors.prior import Prior
    from .priors.start import HeadStart
    from .template import HeadTemplate

Offsets = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Task:
    """What every stage has to know.

    Attributes:
        template: The topology.
        embedding: (D,) identity for the priors, or None for nobody in particular.
        cast: The expressions.
        text: What the head should look like besides, or "".
        prior: "starter", a prior folder, or a hub id.
        settings: How much work each stage does.
        device: Where the priors compute.
        job: Seeds, progress, cancel, checkpoints.
        compiled: Whether the priors' networks go through torch.compile.
    """

    template: HeadTemplate
    embedding: NDArray[np.float32] | None
    cast: Sequence[Expression]
    text: str
    prior: str | Path
    settings: Preset
    device: torch.device
    job: Job
    compiled: bool = False


def find_identity(
    photos: Sequence[Path | str] | None,
    identity: Path | str | Identity | None,
    prior: str | Path,
    tell: Callable[[str], None],
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
    if identity is None:
        return identify([Path(photo) for photo in photos or ()], wanted, notes=tell)
    person = identity if isinstance(identity, Identity) else Identity.load(identity)
    if person.encoder != wanted:
        raise InputError(
            f"the identity comes from the {person.encoder} encoder and the prior wants {wanted}: "
            f"make it again from the photos with --encoder {wanted}"
        )
    return person


def wished(start: HeadStart, text: str, template: HeadTemplate, note: Callable[[str], None]) -> HeadStart:
    """A start head as a text wishes it."""
    from .assets.grant import grant

    wishes, skin, look = wishes_of(text, note), start.skin, start.appearance
    if wishes:
        skin, look = grant(wishes, skin, look, template)
    # What the start head does not know of may be a matter of tone ("sunburnt").
    return replace(start, skin=skin, appearance=look, tone_seen=start.tone_seen and not wishes.unread)


def wishes_of(text: str, note: Callable[[str], None]) -> Wishes:
    """What a text wishes of the start; what it does not know there is told."""
    from .assets.wishes import read_wishes

    wishes = read_wishes(text)
    if wishes.unread:
        words = ", ".join(repr(word) for word in wishes.unread)
        note(f"the start head knows nothing of {words}: that part of the text is the prior's alone to follow")
    return wishes


def find_start(
    photos: Sequence[Path | str] | None,
    person: Identity,
    prior: str | Path,
    template: HeadTemplate,
    tell: Callable[[str], None],
) -> HeadStart:
    """The start head of a person, by the prior's regressor.

    A regressor may know another encoder than the adapters do (FaceID's is ArcFace, the shipped one's dlib):
    then it reads the photos by its own. Without photos the start is the average head.
    """
    from .identity import identify
    from .priors.locate import locate
    from .priors.start import average_start, load_start, start_of

    folder = locate(prior)
    regressor = load_start(folder)
    if regressor is not None and regressor.encoder != person.encoder:
        if not photos:
            tell(
                f"the work starts from the average head: the start regressor reads {regressor.encoder}"
                f" identities, not {person.encoder}; give photos for a better start"
            )
            return average_start(template)
        person = identify([Path(photo) for photo in photos], regressor.encoder, notes=tell)
    return start_of(folder, person, template)


def working_folder(out: Path, request: Any, resume: bool) -> Path:
    """`NAME.head.partial` for a request (a dataclass), emptied unless the run resumes.

    Raises:
        InputError: the checkpoints there belong to another request.
    """
    for leftover in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)  # of a run that was killed while it wrote the bundle
    work = out.with_name(out.name + ".partial")
    note = work / "request.json"
    wanted = json.dumps(asdict(request), indent=2)
    if resume and note.is_file():
        if note.read_text(encoding="utf-8") != wanted:
            raise InputError(
                f"{work} holds a run with other settings: repeat that command, or leave out --resume"
            )
        return work
    # Emptied, not made anew: a program that made the folder to claim the name keeps it.
    work.mkdir(parents=True, exist_ok=True)
    for leftover in work.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    temporary = note.with_suffix(".tmp")
    temporary.write_text(wanted, encoding="utf-8")
    os.replace(temporary, note)
    return work


def prior_for(domain: str, task: Task) -> Prior:
    """A domain's prior on the task's device."""
    from .priors.memory import frugality
    from .priors.prior import Prior
    from .priors.quicken import quicken

    prior = Prior.load(task.prior, domain, task.device)
    if told := frugality(prior):
        task.job.note(told)
    quicken(prior, task.job.note, compiled=task.compiled)
    return prior


def shape(start: PosedHead, task: Task) -> tuple[NDArray[np.float32], Offsets, Surface]:
    """Geometry: surfaces by score distillation, the template wrapped onto them, expressions refined.

    Returns:
        (V, 3) neutral vertices, the (V, 3) offsets of every expression and ARKit unit by name, and the
        sculpted neutral surface that the template was wrapped onto.
    """
    from .geometry.polish import polish
    from .geometry.sculpt import sculpt
    from .geometry.unfold import unfold_keys

    prior = prior_for("geometry", task)
    settings, cast, job = task.settings, task.cast, task.job
    sculpture = sculpt(start, prior, task.embedding, cast, task.text, settings.sculpt, job)
    vertices, units, expressions = wrapped(start, sculpture, task)
    expressions = polish(
        vertices, expressions, task.template, prior, task.embedding, cast, task.text, settings.polish, job
    )
    keys = unfold_keys(task.template, vertices, {**units, **expressions})
    return vertices, keys, sculpture.surfaces["neutral"]


def wrapped(
    start: PosedHead, sculpture: Sculpture, task: Task
) -> tuple[NDArray[np.float32], Offsets, Offsets]:
    """One topology: neutral vertices, ARKit units and expressions, the latter two as (V, 3) offsets."""
    from .geometry.expressions_fit import fit_expression
    from .geometry.wrap import wrap
    from .rig.units import transfer_units

    def fit() -> dict[str, torch.Tensor]:
        import torch

        surfaces, starts, template = sculpture.surfaces, sculpture.starts, task.template
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
            for e in task.cast
        }
        arrays = {
            "neutral": neutral,
            **{f"unit.{k}": v for k, v in units.items()},
            **{f"expression.{k}": v for k, v in expressions.items()},
        }
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}

    found = {k: v.numpy() for k, v in task.job.remember("wrap", fit).items()}
    units = {k.removeprefix("unit."): v for k, v in found.items() if k.startswith("unit.")}
    expressions = {e.name: found[f"expression.{e.name}"] for e in task.cast}
    return found["neutral"], units, expressions


def colour(
    vertices: NDArray[np.float32],
    offsets: Mapping[str, NDArray[np.float32]],
    start: Material,
    detail: Detail | None,
    task: Task,
    *,
    keep_tone: bool,
) -> Maps:
    """Appearance: score distillation on the pseudo-albedo, from start maps of the finished maps' size.

    With `keep_tone` features alone are painted, and the skin's mean colour stays the start's.
    """
    from .appearance.paint import paint

    prior = prior_for("albedo", task)
    return paint(
        vertices,
        offsets,
        task.template,
        start,
        prior,
        task.embedding,
        task.cast,
        task.text,
        task.settings.paint,
        task.job,
        detail=detail,
        keep_tone=keep_tone,
    )


def textures(maps: Maps) -> dict[str, NDArray]:
    """Painted maps under the bundle's names."""
    found: dict[str, NDArray] = {
        "albedo": maps.albedo_srgb,
        "roughness": maps.roughness,
        "specular": maps.specular,
        "normal": maps.normal,
    }
    for name, own in maps.sets.items():
        found |= {
            f"{name}_albedo": own.albedo_srgb,
            f"{name}_roughness": own.roughness,
            f"{name}_specular": own.specular,
        }
    return found


def describe(request: Any, task: Task, **more: Any) -> dict[str, Any]:
    """What `head.json` says of the head's making; never a photo or its path."""
    from .digest import sha256_of
    from .priors.adapter_files import read_adapter_config
    from .priors.locate import locate
    from .priors.prompts import DOMAINS

    home = locate(task.prior)
    # Where a folder lies is the user's own affair; its files' digests say which prior it is.
    name = home.name if Path(task.prior).is_dir() else str(task.prior)
    files = {path.relative_to(home).as_posix(): sha256_of(path) for path in home.rglob("*.safetensors")}
    provenance = {
        **asdict(request),
        "prior": name,
        "encoder_sha256": _encoder_sha256(request.encoder),
        "device": task.device.type,
        "prior_files": dict(sorted(files.items())),
        "prior_bases": {domain: read_adapter_config(home, domain).base_sha256 for domain in DOMAINS},
        **more,
    }
    return {
        "provenance": provenance,
        "timings_s": dict(task.job.timings_s),
        "notes": list(task.job.notes),
    }


def _encoder_sha256(name: str) -> str:
    """Of the recogniser's weights; nothing where an identity is used without the encoder it came from."""
    from .identity.encoders import load_encoder

    try:
        return load_encoder(name).fingerprint() if name else ""
    except Id3dError:
        return ""


def looks(maps: AppearanceParameters, mesh: AppearanceParameters | None = None) -> dict[str, Any]:
    """What `head.json` says of the looks that maps and mesh (hair and beard are raised) were authored for."""
    return {"look": {"maps": maps.record(), "mesh": (mesh or maps).record()}}


def finish(head: Head, out: Path, work: Path, *, overwrite: bool, identity: Identity | None) -> Head:
    """Write the bundle, with the identity if there is one to keep; let go of checkpoints and GPU memory."""
    from .device import release
    from .render.visibility import forget_contexts

    identity_file = None if identity is None else identity.save(work / "identity.id")
    head.write(out, overwrite=overwrite, identity_file=identity_file)
    shutil.rmtree(work, ignore_errors=True)  # the head is there: nothing that stays may say otherwise
    forget_contexts()
    release()
    return head
