"""The whole yardstick: people, methods, figures, likeness, report. What is finished is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..head import Head
from ..identity.dlib_encoder import DlibEncoder
from ..template import HeadTemplate
from ..topology import on_template
from . import likeness
from .cost import watched
from .figures import figures
from .methods import METHODS, Methods
from .report import Report
from .subjects import Subject, held_out

POSED = ("smile", "brow_raiser", "jaw_left", "sadness")


def run(
    out: Path,
    *,
    people: int = 20,
    methods: Sequence[str] = ("average", "start", "id3d"),
    prior: str | Path = "starter",
    preset: str = "draft",
    dataset: Path | None = None,
    judge: Path | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Report:
    """Measure methods on held-out people.

    Args:
        out: Takes the heads, `METHOD/00.head`, what was measured of each, `report.json` and `report.md`.
            The same call again goes on where it was stopped.
        people: How many.
        methods: Of `methods.METHODS`.
        prior: "starter", or a prior's folder.
        preset: Of the methods that distil.
        dataset: The training data, for "nearest" and "ridge".
        judge: `faceres.json` of the second recogniser (see `likeness`); without it only the one that
            guides is asked.
        say: Told of each head.

    Raises:
        InputError: a method, the prior or the judge cannot be used.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise InputError(f"unknown method {unknown[0]!r}: choose {', '.join(METHODS)}")
    if people < 2:
        raise InputError("measure at least two people, so that there is somebody to mistake one for")
    second = None if judge is None else likeness.FaceRes(judge)
    encoder, maker = DlibEncoder(), Methods(prior, preset, dataset, out / "priors")
    subjects = list(held_out(people, maker.template, encoder))
    guided = np.array([subject.person.embedding for subject in subjects])
    judged = [] if second is None else [second.look(subject.photo, subject.face) for subject in subjects]
    rows: dict[str, list[dict[str, float]]] = {}
    for name in methods:
        found = []
        for index, subject in enumerate(subjects):
            folder = out / name / f"{index:02d}.head"
            if not folder.is_dir():
                folder.parent.mkdir(parents=True, exist_ok=True)
                with watched() as cost:
                    maker.make(name, subject, folder)
                _write(_cost_file(folder), json.dumps(cost))
            found.append(_measured(folder, subject, maker.template, encoder, second))
            say(f"{name}, person {index + 1} of {people}: face {found[-1]['row']['face_mm']:.2f} mm")
        rows[name] = _with_likeness(found, guided, judged)
    settings = {"people": people, "prior": str(prior), "preset": preset, "judge": judge is not None}
    assets = [subject.asset for subject in subjects]
    who = [{**asset.attributes, "melanin": asset.appearance.melanin} for asset in assets]
    report = Report(rows, who, settings)
    _write(out / "report.json", json.dumps(report.to_json(), indent=2))
    _write(out / "report.md", report.to_markdown() + "\n")
    return report


def _measured(
    folder: Path,
    subject: Subject,
    template: HeadTemplate,
    encoder: DlibEncoder,
    judge: likeness.FaceRes | None,
) -> dict[str, Any]:
    """Figures of one head and what the recognisers see in it; from `NAME.json` if it was measured before."""
    note = folder.with_suffix(".json")
    if note.is_file():
        found = json.loads(note.read_text(encoding="utf-8"))
        if judge is None or "judge" in found:
            return found
    head = on_template(Head.read(folder), template)
    shots = likeness.pictures(head)
    guide = likeness.embedded(shots, encoder)
    row = figures(head, subject.asset, template)
    if _cost_file(folder).is_file():
        row |= json.loads(_cost_file(folder).read_text(encoding="utf-8"))
    if guide is not None:
        row["changes_with_expression"] = _change(head, guide, encoder)
    found = {"row": row, "guide": None if guide is None else guide.tolist()}
    if judge is not None:
        impression = likeness.seen(shots, encoder, judge)
        found["judge"] = impression and {
            "descriptor": impression.descriptor.tolist(),
            "male": impression.male,
            "age": impression.age,
        }
    _write(note, json.dumps(found))
    return found


def _cost_file(folder: Path) -> Path:
    return folder.with_suffix(".cost.json")


def _change(head: Head, neutral: np.ndarray, encoder: DlibEncoder) -> float:
    """Mean distance, to the guide, from the neutral's pictures to some expressions'."""
    moved = [
        likeness.embedded(likeness.pictures(head, name), encoder) for name in POSED if name in head.names
    ]
    apart = [np.linalg.norm(one - neutral) for one in moved if one is not None]
    return float(np.mean(apart)) if apart else 0.0


def _with_likeness(
    found: Sequence[dict[str, Any]], guided: np.ndarray, judged: Sequence[likeness.Impression]
) -> list[dict[str, float]]:
    """Rows with each head's own place in the retrieval among all; a head without a face comes last.

    Args:
        found: What `_measured` gave, one a person.
        guided: (N, D) embeddings of the people's photographs.
        judged: What the judge sees in them, or nothing.
    """
    rows = [dict(one["row"]) for one in found]
    people = {"guide": guided}
    heads = {"guide": [one["guide"] for one in found]}
    if judged:
        people["judge"] = np.array([one.descriptor for one in judged])
        heads["judge"] = [one["judge"] and one["judge"]["descriptor"] for one in found]
        for row, one, photo in zip(rows, found, judged, strict=True):
            if one["judge"]:
                row["judge_male_error"] = abs(one["judge"]["male"] - photo.male)
                row["judge_age_error"] = abs(one["judge"]["age"] - photo.age)
    for who, photos in people.items():
        seen = np.array([one if one is not None else np.full(photos.shape[1], np.nan) for one in heads[who]])
        for row, place in zip(rows, likeness.places(seen, photos), strict=True):
            row |= {f"{who}_{name}": value for name, value in place.items()}
    return rows


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
