"""What was asked for, kept beside the job: it resumes after a crash and repeats later. No bpy here.

A note is a small JSON file in the extension's own folder. It names the photos' paths (they are never
written into a head), so it stays on this machine; "Discard" and "Forget" delete it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .engine import edit_arguments, generate_arguments, partial

if os.name == "nt":
    import msvcrt
else:
    import fcntl

_BEGUN = ("request.json", "job.json")  # what a local engine and remote.py write first


@dataclass(frozen=True)
class Request:
    """One head's settings.

    Attributes:
        out: The bundle's folder, absolute.
        photos: Absolute paths, or one identity file; none where a head is changed whose person is not known.
        text, preset, expressions, seed, topology: As `id3d generate` takes them.
        target: What of a head the text changes, as `id3d edit` takes it; empty for a head from photos.
        head: The bundle of the head that is changed, which keeps its expressions and its topology.
    """

    out: str
    photos: tuple[str, ...]
    text: str = ""
    preset: str = "draft"
    expressions: str = "all"
    seed: int = 0
    topology: str = "fine"
    target: str = ""
    head: str = ""

    @property
    def name(self) -> str:
        """The head's name."""
        return Path(self.out).stem

    def arguments(self, *, resume: bool) -> list[str]:
        """The engine's command line."""
        shared: dict[str, Any] = {
            "text": self.text, "preset": self.preset, "seed": self.seed, "resume": resume,
        }  # fmt: skip
        if self.target:
            return edit_arguments(self.head, self.photos, Path(self.out), target=self.target, **shared)
        own = {"expressions": self.expressions, "topology": self.topology}
        return generate_arguments(self.photos, Path(self.out), **own, **shared)

    def resumable(self) -> bool:
        """Whether the engine, a local or a remote one, left something to go on from."""
        work = partial(Path(self.out))
        return any((work / name).is_file() for name in _BEGUN) and not Path(self.out).exists()


class Busy(Exception):
    """Another Blender is making this head."""


class Notes:
    """All notes of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, out: Path | str) -> Path:
        """The note of the head at `out`."""
        digest = hashlib.sha256(str(out).encode()).hexdigest()[:10]
        return self.folder / f"{Path(out).stem}-{digest}.json"

    def write(self, request: Request) -> None:
        """Keep a request, whole or not at all."""
        path = self.path(request.out)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(request)), encoding="utf-8")
        os.replace(temporary, path)

    def read(self, out: Path | str) -> Request | None:
        """What was asked for the head at `out`, if that is still known."""
        return _read(self.path(out))

    def all(self) -> list[Request]:
        """What was asked for so far, newest first."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [request for path in paths if (request := _read(path))]

    def unfinished(self) -> list[Request]:
        """Stopped jobs that can go on, newest first; not those that another Blender is at."""
        return [request for request in self.all() if request.resumable() and self._free(request)]

    def lock(self, request: Request) -> Lock:
        """Hold a job; the system lets go of it when this process ends.

        Raises:
            Busy: another Blender holds it.
            OSError: the folder cannot be written.
        """
        return Lock(self.path(request.out).with_suffix(".lock"))

    def discard(self, request: Request) -> None:
        """Delete a stopped job's checkpoints and its note."""
        shutil.rmtree(partial(Path(request.out)), ignore_errors=True)
        self.path(request.out).unlink(missing_ok=True)

    def let_go(self, request: Request) -> None:
        """Give the name back if the engine never began: there is nothing to go on from."""
        with suppress(OSError):
            partial(Path(request.out)).rmdir()
        if not partial(Path(request.out)).exists() and not Path(request.out).exists():
            self.path(request.out).unlink(missing_ok=True)

    def _free(self, request: Request) -> bool:
        try:
            self.lock(request).release()
        except (Busy, OSError):
            return False
        return True


class Lock:
    """A file that one process at a time holds.

    Raises:
        Busy: another one does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")
        try:
            if os.name == "nt":
                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Busy from None

    def release(self) -> None:
        """Let go; the empty file stays, as deleting it would let two processes hold two files."""
        self._file.close()


def _read(path: Path) -> Request | None:
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Request(**fields | {"photos": tuple(fields["photos"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
