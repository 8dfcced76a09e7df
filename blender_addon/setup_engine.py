"""The engine's Python environment, made by venv and pip in a process of its own. Knows nothing of bpy.

    python setup_engine.py PLAN.json

FOLDER, all that is ever written to:

    venv/        the environment; the engine's own code stays in the extension
    cache/       pip's downloads, so that a stopped set-up goes on; deleted at the end
    temporary/   pip's work
    ready.json   what was installed, written last

Standard output is one JSON object a line (stage, step, steps, elapsed_s, eta_s, message), standard
error the log. The end of standard input stops it. Exit codes: 0 ready, 1 failed, 130 stopped; run
again with the same plan, it goes on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

CANCELLED = 130
ABSENT, PARTIAL, OUTDATED, BROKEN, READY = "absent", "partial", "outdated", "broken", "ready"
_PYTHONS = ((3, 11), (3, 14))
_GIB = 1 << 30
_RAW_PROGRESS = (24, 1)  # the pip that prints byte counts when it has no terminal


@dataclass(frozen=True)
class Plan:
    """What to install where.

    Attributes:
        folder: FOLDER, above.
        build: Name of torch's build, for the record.
        index: The package index of that build, or empty for the ordinary one.
        requirements: As pip takes them; torch is among them.
        disk_gib: Free space that the whole of it needs.
        wheels: A folder of wheels instead of the network, or empty.
    """

    folder: str
    build: str
    index: str
    requirements: tuple[str, ...]
    disk_gib: float
    wheels: str = ""


class SetupError(Exception):
    """A sentence that says what is wrong and what to do."""


class Stopped(Exception):
    """Standard input has ended."""


@lru_cache(maxsize=1)
def requirements_of(pyproject: Path) -> tuple[str, ...]:
    """The engine's dependencies."""
    import tomllib

    return tuple(tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"])


def python_of(folder: Path) -> Path:
    """The environment's interpreter, there or not."""
    return folder / ("venv/Scripts/python.exe" if sys.platform == "win32" else "venv/bin/python")


def installed(folder: Path) -> dict[str, Any]:
    """`ready.json`: build, python, requirements; empty if nothing was finished."""
    try:
        record = json.loads((folder / "ready.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def state_of(folder: Path, requirements: Sequence[str]) -> str:
    """ABSENT, PARTIAL (stopped half-way), OUTDATED (for other requirements), BROKEN or READY."""
    record = installed(folder)
    if not record:
        return PARTIAL if (folder / "venv").exists() else ABSENT
    if not python_of(folder).exists():
        return BROKEN  # the Python that it was made with was removed or moved
    return READY if record.get("requirements") == list(requirements) else OUTDATED


def set_up(plan: Plan, stdin: IO[bytes] | None = None) -> None:
    """Make the environment, or finish it.

    Raises:
        SetupError: it cannot be made; the text says why and what to do.
        Stopped: `stdin` has ended.
    """
    folder = Path(plan.folder)
    if not _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]:
        raise SetupError(f"{sys.executable} is Python {sys.version.split()[0]}: choose a Python 3.11 to 3.13")
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        _require_space(folder, plan.disk_gib)
        (folder / "ready.json").unlink(missing_ok=True)
        _make(plan, folder, _Runner(folder, stdin))
        for leftover in ("cache", "temporary"):
            shutil.rmtree(folder / leftover, ignore_errors=True)
        record = {
            "build": plan.build,
            "python": sys.version.split()[0],
            "requirements": list(plan.requirements),
        }
        (folder / "ready.json").write_text(json.dumps(record, indent=2), encoding="utf-8")


def _make(plan: Plan, folder: Path, runner: _Runner) -> None:
    runner.stage("environment", "Making the Python environment")
    python = str(python_of(folder))
    if not _starts(python):
        runner.run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")], _explain_venv)
    _forget_half_installed(folder / "venv")

    source = ["--no-index", "--find-links", plan.wheels] if plan.wheels else []
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--prefer-binary"]
    if not plan.wheels:
        runner.run([*pip, "--upgrade", "pip"], _explain_pip)
    if _pip_version(python) >= _RAW_PROGRESS:
        pip.append("--progress-bar=raw")

    torch = [name for name in plan.requirements if re.match(r"torch\b(?!-)", name)]
    if torch:
        runner.stage("torch", f"Installing torch ({plan.build})")
        index = ["--index-url", plan.index] if plan.index and not plan.wheels else []
        runner.run([*pip, *source, *index, *torch], _explain_pip)
    runner.stage("packages", "Installing packages")
    runner.run([*pip, *source, *plan.requirements], _explain_pip)


class _Runner:
    """Runs commands one after the other, tells their progress, stops them when stdin ends."""

    def __init__(self, folder: Path, stdin: IO[bytes] | None) -> None:
        self._began = time.monotonic()
        self._stage, self._what = "", ""
        self._process: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()
        temporary, cache = folder / "temporary", folder / "cache"
        shutil.rmtree(temporary, ignore_errors=True)
        for path in (temporary, cache):
            path.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if key not in ("PIP_TARGET", "PIP_PREFIX")}
        self._environment = kept | {
            "PIP_CACHE_DIR": str(cache),
            "PIP_USER": "0",
            "PYTHONNOUSERSITE": "1",
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
        }
        if stdin is not None:
            threading.Thread(target=self._watch, args=(stdin,), daemon=True).start()

    def stage(self, name: str, what: str) -> None:
        """Say what comes next."""
        self._stage, self._what = name, what
        self._say(what)

    def run(self, command: Sequence[str], explain: Any) -> None:
        """Run to the end; `explain` makes a sentence of the output's lines if it fails."""
        print(f"$ {' '.join(command)}", file=sys.stderr, flush=True)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            text=True,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        if self._stopped.is_set():  # it ended between two commands
            self._process.terminate()
        lines = list(self._follow(self._process))
        code = self._process.wait()
        if self._stopped.is_set():
            raise Stopped
        if code != 0:
            raise SetupError(explain(lines))

    def _follow(self, process: subprocess.Popen[str]) -> Iterator[str]:
        assert process.stdout is not None
        told = 0.0
        for line in process.stdout:
            counts = re.match(r"Progress (\d+) of (\d+)", line)
            if counts is None:
                yield line
                print(line, end="", file=sys.stderr, flush=True)
                self._say(_in_words(line) or self._what)
            elif time.monotonic() - told > 0.2:
                told = time.monotonic()
                self._say(self._what, *(int(count) for count in counts.groups()))

    def _say(self, message: str, step: int = 0, steps: int = 0) -> None:
        self._what = message
        elapsed = time.monotonic() - self._began
        event = {"stage": self._stage, "step": step, "steps": steps, "elapsed_s": round(elapsed, 1)}
        print(json.dumps(event | {"eta_s": 0.0, "message": message}), flush=True)

    def _watch(self, stdin: IO[bytes]) -> None:
        # Not `stdin.read`: a buffer's lock that a thread holds aborts Python at its exit.
        while os.read(stdin.fileno(), 1):
            pass
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()


def _in_words(line: str) -> str:
    """What a line of pip's output means, or nothing."""
    if found := re.match(r"\s*Downloading (\S+?)(?:#\S*)? \((.+)\)", line):
        return f"Downloading {found[1].rsplit('/', 1)[-1].split('-')[0]} ({found[2]})"
    if found := re.match(r"Collecting ([\w.-]+)", line):
        return f"Looking for {found[1]}"
    if found := re.match(r"Installing collected packages: (.+)", line):
        return f"Installing {len(found[1].split(', '))} packages; this takes minutes"
    return ""


def _explain_venv(lines: list[str]) -> str:
    if any("ensurepip" in line for line in lines):
        return f"{sys.executable} cannot make environments (no ensurepip): choose another Python"
    return f"the environment could not be made: {_last(lines)}"


def _explain_pip(lines: list[str]) -> str:
    text = "".join(lines)
    if "No space left on device" in text or "Errno 28" in text:
        return "the disk is full: free some space and press Set Up Engine again, it goes on from here"
    if re.search(r"NewConnectionError|NameResolutionError|ConnectTimeoutError|Network is unreachable", text):
        return (
            "the package index cannot be reached: check the network or its proxy and press "
            "Set Up Engine again, or choose a folder of wheels"
        )
    if found := re.search(r"No matching distribution found for (.+)", text):
        return f"there is no {found[1].strip()} for this Python and system: complete the folder or index"
    if re.search(r"ProtocolError|IncompleteRead|ReadTimeoutError|HASHES", text):
        return "the download broke off: press Set Up Engine again, it goes on from here"
    return f"pip failed: {_last(lines)}"


def _last(lines: list[str]) -> str:
    errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no reason was given"]
    return " ".join(errors[-1].split())


def _starts(python: str) -> bool:
    """Whether it runs and has pip; a venv that was stopped half-way may lack either."""
    return _pip_version(python) > (0, 0)


def _pip_version(python: str) -> tuple[int, int]:
    try:
        done = subprocess.run(
            [python, "-m", "pip", "--version"], capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = re.match(r"pip (\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _forget_half_installed(venv: Path) -> None:
    """pip writes INSTALLER last; a package without it would pass for installed."""
    for record in venv.glob("**/site-packages/*.dist-info"):
        if not (record / "INSTALLER").exists():
            shutil.rmtree(record)


def _require_space(folder: Path, disk_gib: float) -> None:
    there = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / _GIB
    free, needed = shutil.disk_usage(folder).free / _GIB, max(disk_gib - there, 0.0)
    if free < needed:
        raise SetupError(
            f"{needed:.1f} GiB are needed and {free:.1f} GiB are free in {folder}: free some space first"
        )


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """A lock that ends with this process, however it ends."""
    with (folder / "lock").open("a") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError("another Blender is setting up the engine: wait until it is done") from error
        yield


def main() -> int:
    """Run the plan whose file is named on the command line."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        set_up(Plan(**plan | {"requirements": tuple(plan["requirements"])}), sys.stdin.buffer)
    except Stopped:
        print("id3d: stopped; Set Up Engine goes on from here", file=sys.stderr)
        return CANCELLED
    except (SetupError, OSError) as error:
        print(f"id3d: {error}", file=sys.stderr)
        return 1
    return 0


def write_plan(plan: Plan, path: Path) -> Path:
    """Write a plan where `main` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
