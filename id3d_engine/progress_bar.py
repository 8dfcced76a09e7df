"""Progress on the command line: a live bar, plain lines, or one JSON object a line."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TextIO

from .job import Listener, Progress, silent

MODES = ("auto", "json", "none")
_WIDTH = 24


def listener_for(mode: str, stream: TextIO | None = None) -> Listener:
    """The listener of `--progress`.

    Args:
        mode: `auto` (a live bar on a terminal, else one line a stage), `json` or `none`.
        stream: By default standard output for `json`, standard error for the rest.
    """
    if mode == "json":
        return JsonLines(stream or sys.stdout)
    if mode == "none":
        return silent
    stream = stream or sys.stderr
    return Bar(stream) if stream.isatty() else Lines(stream)


class JsonLines:
    """One JSON object a line: the fields of `Progress`, times rounded to milliseconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, progress: Progress) -> None:
        fields = dataclasses.asdict(progress)
        for key in ("elapsed_s", "eta_s"):
            fields[key] = round(fields[key], 3)
        print(json.dumps(fields, ensure_ascii=False), file=self._stream, flush=True)


class Lines:
    """One line when a stage ends, and every note: what a log file wants."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        before, self._before = self._before, progress
        if progress.stage == "note":
            print(progress.message, file=self._stream, flush=True)
        elif progress.step == progress.steps and not _repeats(before, progress):
            text = f"{progress.stage}: {progress.steps} steps in {duration(progress.elapsed_s)}"
            print(text, file=self._stream, flush=True)


class Bar:
    """A bar that is redrawn in place; a finished stage keeps its line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._before: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        before, self._before = self._before, progress
        if progress.stage == "note":
            self._stream.write(f"\r\033[K{progress.message}\n")
        elif not _repeats(before, progress):
            self._stream.write(f"\r\033[K{bar_text(progress)}")
            if progress.step == progress.steps:
                self._stream.write("\n")
        self._stream.flush()


def _repeats(before: Progress | None, now: Progress) -> bool:
    """Whether a stage's step is told again, as with its last preview."""
    same = before is not None and (before.stage, before.step, before.steps)
    return same == (now.stage, now.step, now.steps)


def bar_text(progress: Progress) -> str:
    """Stage, bar, step n/N, and the time left (or spent, once the stage is done)."""
    share = progress.step / progress.steps if progress.steps else 1.0
    filled = round(_WIDTH * min(max(share, 0.0), 1.0))
    done = progress.step == progress.steps
    time = duration(progress.elapsed_s) if done else f"{duration(progress.eta_s)} left"
    if not done and not progress.eta_s:
        time = "..."
    bar = "#" * filled + "-" * (_WIDTH - filled)
    text = f"{progress.stage:<12.12} [{bar}] {progress.step}/{progress.steps}  {time}"
    return f"{text}  {progress.message[:40]}" if progress.message else text


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `1 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
