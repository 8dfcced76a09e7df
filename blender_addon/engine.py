"""The engine as a child process: arguments in, progress out as one JSON object a line.

A thread only moves lines into a queue; whoever calls `events` and `poll` decides what to do with
them. Nothing here imports bpy, so no rule about threads and bpy can be broken.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .child import CANCELLED, Child, clean_environment

__all__ = [
    "CANCELLED",
    "EngineRun",
    "claim_name",
    "describe",
    "edit_arguments",
    "generate_arguments",
    "run_doctor",
]

# The folder that holds id3d_engine/; the child finds the engine there, whatever else is installed.
ROOT = Path(__file__).resolve().parents[1]
# Cancel: the engine is asked; so many seconds later told; so many later ended. It keeps its checkpoints.
_PATIENCE_S = (1.2, 0.3)
_STAGES = {
    "sculpt": "1 of 3: Shape",
    "wrap": "2 of 3: Mesh",
    "polish": "2 of 3: Expressions",  # where the prior is asked for them
    "paint": "3 of 3: Skin",
}

Event = dict[str, Any]


class EngineRun(Child):
    """One run of the engine. It ends when asked, and when Blender does, however that happens.

    Args:
        command: `python -m id3d_engine` or what stands for it, and the command line of `id3d`.
        cache: A writable folder for compiled code; the extension's own folder stays as installed.
        log: Where standard error goes.
        prepare: Called with every event on the reader's thread: the place to read the files it names.
        environment: Variables besides the engine's own.

    Raises:
        OSError: the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        cache: Path,
        log: Path,
        prepare: Callable[[Event], None] = lambda event: None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._prepare = prepare
        self._ended_s: float | None = None
        super().__init__(command, _environment(cache) | dict(environment or {}), cache, log)

    def poll(self) -> int | None:
        """The exit code, or None while the engine runs or has said things that were not read yet."""
        code = self._process.poll()
        if code is not None and self._reader.is_alive():
            # Another process may have inherited its output and keep it open for ever.
            self._ended_s = self._ended_s or time.monotonic()
            return code if time.monotonic() - self._ended_s > 1.0 else None
        return code

    def cancel(self) -> None:
        """Have the engine stop within two seconds, without waiting; asked again, at once."""
        if self.cancelled:
            self.kill()
            return
        self.cancelled = True
        threading.Thread(target=self._stop, daemon=True).start()

    def kill(self) -> None:
        """End the engine now; its checkpoints are whole."""
        self._process.kill()

    def reason(self) -> str:
        """Why it failed: the last line of its standard error, or the signal that ended it."""
        code = self._process.returncode
        if code is not None and code < 0:
            return (
                f"The engine was ended from outside (signal {-code}), perhaps because memory ran out: "
                "close other programs, then press Resume"
            )
        reason = super().reason()
        if "ModuleNotFoundError" in reason or "No module named" in reason:
            return f"This Python lacks the engine's packages ({reason.partition(';')[0]}): set up the engine"
        return reason

    def sentence(self) -> str:
        """The reason with a capital letter, unless it begins with a path, an address or a name."""
        reason = self.reason()
        return reason[:1].upper() + reason[1:] if reason.partition(" ")[0].isalpha() else reason

    def _stop(self) -> None:
        with suppress(OSError):
            self._process.stdin.close()
        for seconds, insist in zip(_PATIENCE_S, (self._process.terminate, self._process.kill), strict=True):
            try:
                self._process.wait(seconds)
                return
            except subprocess.TimeoutExpired:
                insist()

    def _read(self) -> None:
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a library's own chatter
            if isinstance(event, dict) and "stage" in event:
                self._prepare(event)
                self._events.put(event)
        self._process.wait()


def _environment(cache: Path) -> dict[str, str]:
    return clean_environment(
        PYTHONPATH=str(ROOT),
        PYTHONPYCACHEPREFIX=str(cache / "pycache"),
        NUMBA_CACHE_DIR=str(cache / "compiled"),
        ID3D_STOP_AT_END_OF_INPUT="1",
    )


def generate_arguments(
    photos: Sequence[str],
    out: Path,
    *,
    text: str,
    preset: str,
    seed: int,
    expressions: str = "all",
    topology: str = "fine",
    resume: bool = False,
) -> list[str]:
    """The command line of `id3d generate`; a single `.id` file is an identity instead of photos."""
    source = ["--id", *photos] if _is_identity(photos) else [*photos]
    options = [*_options(out, text, preset, seed, resume), "--expressions", expressions]
    return ["generate", *options, "--topology", topology, *source]


def edit_arguments(
    head: str,
    photos: Sequence[str],
    out: Path,
    *,
    target: str,
    text: str,
    preset: str,
    seed: int,
    resume: bool = False,
) -> list[str]:
    """The command line of `id3d edit`; with no photos the bundle's own identity counts, if it has one."""
    options = [*_options(out, text, preset, seed, resume), "--target", target]
    if photos:
        options += ["--id" if _is_identity(photos) else "--photo", *photos]
    return ["edit", head, *options]


def _is_identity(photos: Sequence[str]) -> bool:
    return len(photos) == 1 and photos[0].lower().endswith(".id")


def _options(out: Path, text: str, preset: str, seed: int, resume: bool) -> list[str]:
    options = ["--out", str(out), "--preset", preset, "--seed", str(seed), "--progress", "json"]
    if text.strip():
        options += [f"--text={text.strip()}"]
    if resume:
        options += ["--resume"]
    return options


def describe(event: Event) -> tuple[float, str]:
    """A progress object as a fraction in [0, 1] and a line for people."""
    step, steps = int(event.get("step", 0)), int(event.get("steps", 0))
    fraction = min(max(step / steps, 0.0), 1.0) if steps else 0.0
    stage = str(event["stage"])
    line = f"{_STAGES.get(stage, stage.replace('_', ' ').capitalize())} {step}/{steps}"
    left = float(event.get("eta_s", 0.0))
    if left >= 1:
        line += f", {left:.0f} s left" if left < 90 else f", {left / 60:.0f} min left"
    return fraction, line


def claim_name(folder: Path, stem: str) -> Path:
    """`folder/stem-001.head`, or the first number that is free, and from now on taken.

    The name is claimed by making the folder of its checkpoints, which only one process can do.

    Raises:
        OSError: the folder cannot be made there.
    """
    folder.mkdir(parents=True, exist_ok=True)  # here: where a file is in its place, no number is free
    number = 1
    while True:
        path = folder / f"{stem}-{number:03d}.head"
        if not path.exists():
            with suppress(FileExistsError):
                partial(path).mkdir()
                return path
        number += 1


def partial(out: Path) -> Path:
    """Where the engine keeps the checkpoints of a head until it is complete."""
    return out.with_name(out.name + ".partial")


def run_doctor(python: str, cache: Path, timeout_s: float = 180.0) -> Event:
    """`id3d doctor --json`.

    Raises:
        OSError, subprocess.TimeoutExpired: the interpreter does not start, does not answer, or has no engine.
    """
    done = subprocess.run(
        [python, "-m", "id3d_engine", "doctor", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        cwd=cache,
        env=_environment(cache),
        timeout=timeout_s,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise ChildProcessError(lines[-1]) from error
