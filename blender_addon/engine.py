"""The engine as a child process: arguments in, progress out as one JSON object a line.

A thread only moves lines into a queue; whoever calls `events` and `poll` decides what to do with
them. Nothing here imports bpy, so no rule about threads and bpy can be broken.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The folder that holds id3d_engine/; the child finds the engine there, whatever else is installed.
ROOT = Path(__file__).resolve().parents[1]
CANCELLED = 130
_LONGEST_REASON = 400


class EngineRun:
    """One `python -m id3d_engine ...`.

    Args:
        python: The interpreter, which has the engine's packages.
        arguments: The command line after `id3d`.
        cache: A writable folder for compiled code; the extension's own folder stays as installed.
        log: Where standard error goes.

    Raises:
        OSError: the interpreter cannot be started.
    """

    def __init__(self, python: str, arguments: Sequence[str], cache: Path, log: Path) -> None:
        self.log = log
        self.cancelled = False
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [python, "-m", "id3d_engine", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=cache,
                env=_environment(cache),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def events(self) -> list[dict[str, Any]]:
        """The progress objects that came in since the last call."""
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def poll(self) -> int | None:
        """The exit code, or None while the engine runs."""
        return None if self._reader.is_alive() else self._process.poll()

    def wait(self) -> int:
        """Block until the engine ends; returns the exit code."""
        self._reader.join()
        return self._process.wait()

    def cancel(self) -> None:
        """Ask the engine to stop (it keeps a checkpoint); asked again, stop it at once."""
        if self._process.poll() is None:
            if self.cancelled:
                self._process.kill()
            else:
                self._process.terminate()
        self.cancelled = True

    def reason(self) -> str:
        """Why it failed: the last line of its standard error."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].removeprefix("id3d: ")[:_LONGEST_REASON] if lines else "the engine gave no reason"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a library's own chatter
            if isinstance(event, dict) and "stage" in event:
                self._events.put(event)
        self._process.wait()


def _environment(cache: Path) -> dict[str, str]:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PYTHONSTARTUP")
    }
    return environment | {
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(cache / "pycache"),
        "PYTHONSAFEPATH": "1",
        "NUMBA_CACHE_DIR": str(cache / "compiled"),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",
    }


def generate_arguments(photos: Sequence[str], out: Path, *, text: str, preset: str, seed: int) -> list[str]:
    """The command line of `id3d generate`; a single `.id` file is an identity instead of photos."""
    identity = len(photos) == 1 and photos[0].endswith(".id")
    source = ["--id", *photos] if identity else [*photos]
    options = ["--out", str(out), "--preset", preset, "--seed", str(seed), "--progress", "json"]
    if text.strip():
        options += [f"--text={text.strip()}"]
    return ["generate", *options, *source]


def describe(event: dict[str, Any]) -> tuple[float, str]:
    """A progress object as a fraction in [0, 1] and a line for people."""
    step, steps = int(event.get("step", 0)), int(event.get("steps", 0))
    fraction = min(max(step / steps, 0.0), 1.0) if steps else 0.0
    line = f"{str(event['stage']).replace('_', ' ').capitalize()} {step}/{steps}"
    left = float(event.get("eta_s", 0.0))
    if left >= 1:
        line += f", {left:.0f} s left" if left < 90 else f", {left / 60:.0f} min left"
    return fraction, line


def next_free(folder: Path, stem: str) -> Path:
    """`folder/stem-001.head`, or the first number that is free."""
    number = 1
    while (path := folder / f"{stem}-{number:03d}.head").exists():
        number += 1
    return path


def run_doctor(python: str, cache: Path, timeout_s: float = 180.0) -> dict[str, Any]:
    """`id3d doctor --json`.

    Raises:
        OSError, subprocess.TimeoutExpired, json.JSONDecodeError: the interpreter does not start, does
            not answer, or has no engine.
    """
    done = subprocess.run(
        [python, "-m", "id3d_engine", "doctor", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=cache,
        env=_environment(cache),
        timeout=timeout_s,
        check=False,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    return json.loads(done.stdout)
