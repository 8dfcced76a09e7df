"""The heads that were made and the jobs that were stopped, read by a thread when the panel asks.

Plain Python, not properties: a panel may not write properties while it draws.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import poller
from .job_notes import Notes, Request
from .preferences import heads_folder, user_folder

_LONGEST = 50


@dataclass(frozen=True)
class Made:
    """A finished head and its settings.

    Attributes:
        request: Its settings; without photos where they are not known (any more).
        preview: Its contact sheet, a PNG that may be missing.
    """

    request: Request
    preview: Path


@dataclass(frozen=True)
class Found:
    """What a scan found, newest first."""

    heads: tuple[Made, ...] = ()
    stopped: tuple[Request, ...] = ()


_found: Found | None = None
_thread: threading.Thread | None = None


def found(context: bpy.types.Context) -> Found:
    """The last scan's result; the first call, and the first after `forget`, begins a scan."""
    global _thread
    if _found is None and _thread is None:
        folders = (heads_folder(context), user_folder("jobs"))
        _thread = threading.Thread(target=_scan, args=folders, daemon=True)
        _thread.start()
        poller.follow(_scanned)
    return _found or Found()


def forget() -> None:
    """Heads came or went: scan again when asked."""
    global _found
    _found = None


def detach() -> None:
    """Forget a running scan: nobody follows it any more."""
    global _thread
    _thread = None
    forget()


def scan(heads: Path, jobs: Path) -> Found:
    """Read the folders, without bpy."""
    notes = Notes(jobs)
    # A changed head lies beside the one that it was made from, wherever that is.
    places = {*heads.resolve().glob("*.head"), *(Path(request.out) for request in notes.all())}
    folders = sorted(places, key=_time, reverse=True)[:_LONGEST]
    made = [entry for folder in folders if (entry := _read(folder, notes)) is not None]
    return Found(tuple(made), tuple(notes.unfinished()))


def settings_of(folder: Path) -> Made | None:
    """The settings of the head in `folder`, or None if it is no head."""
    return _read(folder, Notes(user_folder("jobs")))


def _scan(heads: Path, jobs: Path) -> None:
    global _found
    try:
        scanned = scan(heads, jobs)
    except OSError:
        scanned = Found()  # a folder that cannot be read has no history
    if threading.current_thread() is _thread:
        _found = scanned


def _scanned() -> bool:
    global _thread
    if _thread is not None and not _thread.is_alive():
        _thread = None
    return _thread is None


def _time(folder: Path) -> float:
    try:
        return (folder / "head.json").stat().st_mtime
    except OSError:
        return 0.0


def _read(folder: Path, notes: Notes) -> Made | None:
    try:
        facts = json.loads((folder / "head.json").read_text(encoding="utf-8"))["provenance"]
        asked = notes.read(folder.resolve())
        request = Request(
            str(folder),
            asked.photos if asked is not None else (),
            str(facts.get("text") or ""),
            str(facts.get("preset", "draft")),
            ",".join(facts.get("expressions", ())) or "all",
            int(facts.get("seed", 0)),
            str(facts.get("topology", "fine")),
            str(facts.get("target", "")),
            asked.head if asked is not None else "",
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Made(request, folder / "preview.png")
