"""A child process that tells its progress as one JSON object a line. Knows nothing of bpy.

The child is asked to stop by the end of its standard input, which also comes when Blender dies.
Standard error goes to a log file, whose last line says why a child failed.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CANCELLED = 130
_LONGEST_REASON = 400
# What would make a child's Python look for its library, or for packages, in the wrong place.
_FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "VIRTUAL_ENV")


class Child:
    """A running command.

    Args:
        command: Program and arguments.
        environment: Its environment, see `clean_environment`.
        folder: Its current folder.
        log: Where standard error goes; an earlier log is replaced.

    Raises:
        OSError: the command cannot be started, or the log cannot be written.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self.log = log
        self.cancelled = False
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=folder,
                env=environment,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def events(self) -> list[dict[str, Any]]:
        """The objects that came in since the last call."""
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return None if self._reader.is_alive() else self._process.poll()

    def wait(self) -> int:
        """Block until it ends; returns the exit code."""
        self._reader.join()
        return self._process.wait()

    def cancel(self) -> None:
        """Ask it to stop; asked again, stop it at once."""
        assert self._process.stdin is not None
        if self.cancelled:
            self._process.kill()
        self._process.stdin.close()
        self.cancelled = True

    def reason(self) -> str:
        """Why it failed: the last line of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].removeprefix("id3d: ")[:_LONGEST_REASON] if lines else "it gave no reason"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a library's own chatter
            if isinstance(event, dict):
                self._events.put(event)
        self._process.wait()


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what another Python would trip over, and with `more`."""
    kept = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    return kept | {"PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"} | more
