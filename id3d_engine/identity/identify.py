"""Photos of one person -> their identity: read each, leave out who does not belong, average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import colours, silhouette
from .encoders import Encoder, load_encoder
from .face_mesh import face_points
from .faces import Face, choose_face
from .identity import Identity
from .measures import SURELY, proportions
from .photo import load_photo

Notes = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class _Read:
    name: str
    person: Identity


def identify(
    photos: Sequence[Path | str] | Path | str,
    encoder: str | Encoder = "dlib",
    notes: Notes = lambda sentence: None,
) -> Identity:
    """Embed the photos of one person and average what agrees.

    Args:
        photos: One path or several (PNG, JPEG, WebP); several make the identity steadier.
        encoder: `"dlib"`, `"arcface"`, or an encoder that is already loaded.
        notes: Called with sentences that the user should see: which of several faces was taken,
            which photo was left out and why, and the encoder's licence notice.

    Raises:
        InputError: no photo was given, one cannot be read, none has a usable face, or the photos
            show different people with no majority.
        MissingDependency: the encoder's package or weights are not installed.
    """
    paths = [Path(photos)] if isinstance(photos, str | Path) else [Path(photo) for photo in photos]
    if not paths:
        raise InputError("no photo was given: name at least one photo of the person")
    model = load_encoder(encoder) if isinstance(encoder, str) else encoder
    if model.notice:
        notes(model.notice)
    kept = _agreeing(_read_all(paths, model, notes), model, notes)
    return average([photo.person for photo in kept], model)


def identity_of(image: NDArray[np.uint8], face: Face, encoder: Encoder) -> Identity:
    """What one face of one (H, W, 3) uint8 RGB photo says; only the embedding if it hardly is one."""
    embedding, found = encoder.embed_face(image, face), face_points(image, face)
    if found.presence < SURELY:
        return Identity(embedding, encoder.name)
    seen = [read(image, found.points) for read in (colours.colours, silhouette.silhouette)]
    return Identity(embedding, encoder.name, 1, proportions(found.points), *seen)


def average(photos: Sequence[Identity], encoder: Encoder) -> Identity:
    """One identity of what photos of one person say; the encoder is theirs."""
    mean = np.mean([photo.embedding for photo in photos], axis=0, dtype=np.float64)
    if encoder.unit_length:
        mean /= np.linalg.norm(mean)
    measured = [photo.measures for photo in photos if photo.measures is not None]
    measures = np.mean(measured, axis=0, dtype=np.float64).astype(np.float32) if measured else None
    coloured = [photo.colours for photo in photos if photo.colours is not None]
    outlined = [photo.silhouette for photo in photos if photo.silhouette is not None]
    return Identity(
        mean.astype(np.float32),
        encoder.name,
        len(photos),
        measures,
        colours.together(coloured) if coloured else None,
        silhouette.together(outlined) if outlined else None,
    )


def _read_all(paths: list[Path], encoder: Encoder, notes: Notes) -> list[_Read]:
    """Photos without a usable face are left out with a note, unless nothing remains."""
    images = [load_photo(path) for path in dict.fromkeys(paths)]
    found, problems = [], []
    for path, image in zip(dict.fromkeys(paths), images, strict=True):
        try:
            face, remark = choose_face(encoder.faces(image), path.name)
        except InputError as error:
            problems.append(error)
            continue
        if remark:
            notes(remark)
        found.append(_Read(path.name, identity_of(image, face, encoder)))
    if not found:
        raise problems[0]
    for problem in problems:
        notes(f"a photo was left out: {problem}")
    return found


def _agreeing(photos: list[_Read], encoder: Encoder, notes: Notes) -> list[_Read]:
    """The majority that shows one person: all within `encoder.same_person` of the most central photo."""
    points = np.stack([photo.person.embedding for photo in photos]).astype(np.float64)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    near = apart < encoder.same_person
    # Most neighbours first, then the smallest distance to them.
    centre = min(range(len(photos)), key=lambda i: (-near[i].sum(), apart[i][near[i]].sum()))
    kept = [photo for photo, same in zip(photos, near[centre], strict=True) if same]
    if len(kept) * 2 <= len(photos):
        i, j = np.unravel_index(apart.argmax(), apart.shape)
        raise InputError(
            f"the photos show different people ({photos[i].name} and {photos[j].name} are "
            f"{apart[i, j]:.2f} apart, one person stays below {encoder.same_person:.2f}): "
            "use photos of one person"
        )
    for index, photo in enumerate(photos):
        if not near[centre][index]:
            notes(
                f"{photo.name} was left out: it seems to show somebody else "
                f"(distance {apart[centre, index]:.2f}, one person stays below {encoder.same_person:.2f})"
            )
    return kept
