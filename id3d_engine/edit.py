"""A finished head under a new text: its geometry, its maps, or both, distilled on from where they are.

Only the start differs from `generate.py`: the head's own vertices, expressions and maps instead of
what is regressed from a face, changed by what the text wishes of them (`assets/grant.py`) and no further.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .digest import sha256_of
from .errors import InputError
from .expressions import select
from .head import Head, check_destination
from .job import Job, Listener, silent
from .stages import (
    Task,
    colour,
    describe,
    find_identity,
    finish,
    looks,
    shape,
    textures,
    wishes_of,
    working_folder,
)
from .topology import FINE, on_template, refined, topology_of

if TYPE_CHECKING:
    from .appearance.maps import Material
    from .assets.appearance import AppearanceParameters
    from .config import Preset
    from .identity import Identity

TARGETS = ("geometry", "texture", "both")
NOBODY = "the bundle holds no identity, so the edit follows the text alone: give a photo or an identity"


@dataclass(frozen=True)
class EditRequest:
    """What was asked for; a run resumes only under the same request."""

    head_sha256: str
    target: str
    text: str
    identity_sha256: str
    encoder: str
    prior: str
    preset: str
    seed: int


def edit(
    head: Path | str,
    *,
    text: str,
    target: str = "both",
    out: Path | str | None = None,
    photos: Sequence[Path | str] | None = None,
    identity: Path | str | Identity | None = None,
    prior: str | Path = "starter",
    preset: str | Preset = "draft",
    device: str = "auto",
    compiled: bool = False,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener = silent,
    cancel: threading.Event | None = None,
) -> Head:
    """Edit a head by text and write a new bundle.

    Args:
        head: A bundle of the template's topology; it is not changed.
        text: What the head should look like, e.g. "as a cute baby".
        target: "geometry" (maps stay), "texture" (mesh and shape keys stay) or "both".
        out: The new bundle; None is `NAME-edit.head` beside the old one.
        photos: Pictures of the person; or give `identity`; or neither: the bundle's own identity,
            and without one the priors are asked for nobody in particular.
        identity: A saved identity or an `Identity`.
        prior: "starter", a prior folder, or a hub id.
        preset: "draft", "standard", "high", or settings of your own. Maps keep their size.
        device: "auto", "cpu" or "cuda".
        compiled: Try torch.compile on the priors: minutes at first, for long jobs (`priors/quicken.py`).
        seed: Same seed, inputs and machine: same bytes on a CPU.
        resume: Go on from the checkpoints of a stopped run with the same request.
        overwrite: Replace a bundle that is at `out`.
        listener: Receives `Progress`.
        cancel: Set it to stop; a checkpoint is kept.

    Returns:
        The edited head, already written to `out`.

    Raises:
        InputError: what is given cannot be used; nothing was written.
        Cancelled: `cancel` was set.
        Id3dError: see `errors`.
    """
    from .config import label, settings_of
    from .device import pick
    from .priors.adapter_files import check_prior
    from .template import load_template

    source = Path(head)
    out = source.with_name(f"{source.stem}-edit.head") if out is None else Path(out)
    if not text.strip():
        raise InputError("an edit needs a text: say what should change, as in --text 'with a full beard'")
    if target not in TARGETS:
        raise InputError(f"unknown target {target!r}: choose {', '.join(TARGETS)}")
    template, old = load_template(), Head.read(source)
    mesh, old = topology_of(old, template), on_template(old, template)
    check_destination(out, overwrite=overwrite)
    settings, where = settings_of(preset, prior), pick(device)
    check_prior(prior)
    told: list[str] = []  # of the user's photos, by their names
    own = source / "identity.safetensors"
    kept = own if own.is_file() and not photos and identity is None else None
    person: Identity | None = None
    if photos or identity is not None or kept:
        person = find_identity(photos, identity or kept, prior, told.append)
    request = EditRequest(
        head_sha256=sha256_of(source / "head.json"),
        target=target,
        text=text,
        identity_sha256=person.sha256() if person else "",
        encoder=person.encoder if person else "",
        prior=str(prior),
        preset=label(preset),
        seed=seed,
    )
    work = working_folder(out, request, resume)
    job = Job(work, seed=seed, listener=listener, cancel=cancel)
    for sentence in told:
        job.note(sentence, keep=False)
    if person is None:
        job.note(NOBODY)

    cast = select(old.expressions) if old.expressions else ()
    embedding = None if person is None else person.embedding
    task = Task(template, embedding, cast, text, prior, settings, where, job, compiled)
    change = changes(old, target, task)
    new = old if target == "texture" else reshaped(old, change, task)
    new = new if target == "geometry" else repainted(new, change, task)
    new = with_new_hair(new, change, task)
    new = refined(new) if mesh == FINE else new
    new = replace(new, info=describe(request, task, source=old.info.get("provenance", {})) | change.info())
    return finish(new, out, work, overwrite=overwrite, identity=person if kept else None)


@dataclass(frozen=True)
class Change:
    """What a text changes of a head at once, before any distillation.

    Attributes:
        moved: (V, 3) float32 metres.
        maps: The looks that the maps were authored for and now should be; None if that is not known.
        mesh: The same of the mesh's hair and beard.
        hanging: Whether long hair is part of mesh and maps, before and after; else it is strands.
    """

    moved: NDArray[np.float32]
    maps: tuple[AppearanceParameters, AppearanceParameters] | None
    mesh: tuple[AppearanceParameters, AppearanceParameters] | None
    hanging: tuple[bool, bool] = (True, True)

    def info(self) -> dict[str, Any]:
        """The new looks as `head.json` keeps them."""
        return looks(self.maps[1], self.mesh[1]) if self.maps and self.mesh else {}


def changes(head: Head, target: str, task: Task) -> Change:
    """What the text wishes of the head. Hair and beard grow where they are painted, too."""
    from .assets.appearance import AppearanceParameters
    from .assets.grant import grant
    from .assets.hair import hair_offsets

    wishes, template, known = wishes_of(task.text, task.job.note), task.template, head.info.get("look")
    plain = AppearanceParameters()
    if known is None:
        if wishes.numbers or wishes.style:
            task.job.note("how this head was drawn is not known: the prior alone changes its skin and hair")
        return Change(grant(wishes, head.vertices, plain, template)[0] - head.vertices, None, None)
    maps, mesh = (AppearanceParameters.from_record(known[name]) for name in ("maps", "mesh"))
    vertices, new_maps = grant(wishes, head.vertices, maps, template)
    new_mesh = new_maps if target == "both" else mesh
    moved = vertices - head.vertices
    hanging = (head.strands is None, head.strands is None and target == "texture")
    if new_mesh != mesh or hanging[0] != hanging[1]:
        skin = head.vertices - hair_offsets(template, head.vertices, mesh, hanging[0])
        moved += hair_offsets(template, skin + moved, new_mesh, hanging[1])
        moved -= hair_offsets(template, skin, mesh, hanging[0])
    return Change(moved, (maps, maps if target == "geometry" else new_maps), (mesh, new_mesh), hanging)


def reshaped(head: Head, change: Change, task: Task) -> Head:
    """The head with new vertices and shape keys; expressions start from what they do now.

    Where the neutral changes, they change as the template's ARKit units do: a child's mouth opens less far.
    """
    from .geometry.fields import PosedHead
    from .rig.units import pose, transfer_units

    keys = dict(zip(head.names, head.shape_keys, strict=True))
    neutral = head.vertices + change.moved
    before, after = (transfer_units(task.template, vertices) for vertices in (head.vertices, neutral))
    own = {e.name: keys[e.name] + pose(after, e.recipe) - pose(before, e.recipe) for e in task.cast}
    start = PosedHead(neutral, own, task.template.triangles, task.template)
    vertices, offsets, _ = shape(start, task)
    found = {**keys, **offsets}
    keys_now = np.stack([found[name] for name in head.names])
    return replace(head, vertices=vertices, shape_keys=keys_now).with_strands_of(head)


def with_new_hair(head: Head, change: Change, task: Task) -> Head:
    """The head with strands for its new look; those that it has stay where its look is not known."""
    from .haired import haired, worn

    if change.maps is None or change.mesh is None or change.hanging[1]:
        return head
    return haired(head, worn(change.maps[1], change.mesh[1]), task.template, task.job.seed)


def repainted(head: Head, change: Change, task: Task) -> Head:
    """The head with new maps, as large as its own; the normal map's relief stays where the look does."""
    from .appearance.detail import Detail
    from .assets.wishes import read_wishes

    keys = dict(zip(head.names, head.shape_keys, strict=True))
    start = material(head)
    size = start.albedo_srgb.shape[0]
    task = replace(task, settings=replace(task.settings, paint=replace(task.settings.paint, size=size)))
    detail = None
    if change.maps is not None and (
        change.maps[0] != change.maps[1] or change.hanging[0] != change.hanging[1]
    ):
        start, detail = redrawn(start, change.maps, change.hanging, task), Detail.of(change.maps[1])
    # What the text wishes of a known look was drawn at once: tone included.
    known = change.maps is not None and not read_wishes(task.text).unread
    maps = textures(colour(head.vertices, keys, start, detail, task, keep_tone=known))
    # Maps of single expressions belong to the old neutral's.
    relief = {name: image for name, image in head.textures.items() if name == "normal" and detail is None}
    return replace(head, textures=maps | relief)


def redrawn(
    old: Material,
    worn: tuple[AppearanceParameters, AppearanceParameters],
    hanging: tuple[bool, bool],
    task: Task,
) -> Material:
    """The maps of a new look, with what the old ones have that was not authored; see `Change`."""
    from .appearance.maps import MapSet
    from .assets.skin import author_textures

    size = old.albedo_srgb.shape[0]
    was, now = (
        author_textures(task.template, look, size, hangs) for look, hangs in zip(worn, hanging, strict=True)
    )
    return MapSet(
        np.clip(old.albedo_srgb + now.albedo_srgb - was.albedo_srgb, 0.0, 1.0),
        np.clip(old.roughness + now.roughness - was.roughness, 0.05, 1.0),
        np.clip(old.specular + now.specular - was.specular, 0.0, 1.0),
    )


def material(head: Head) -> Material:
    """A bundle's neutral maps as floats.

    Raises:
        InputError: a map is missing.
    """
    from .appearance.maps import MapSet

    missing = [kind for kind in ("albedo", "roughness", "specular") if kind not in head.textures]
    if missing:
        raise InputError(f"this head has no {missing[0]} map to start from: edit its geometry alone")
    albedo, roughness, specular = (
        head.textures[kind].astype(np.float32) / 255 for kind in ("albedo", "roughness", "specular")
    )
    return MapSet(albedo, np.clip(roughness, 0.05, 1.0), specular)
