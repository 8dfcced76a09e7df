"""Learning curves as JSON lines: one line every some steps, means since the last line."""

from __future__ import annotations

import json
from pathlib import Path

import torch


class Curve:
    """Collects scalars and appends their means to `path`.

    Args:
        path: A `.jsonl` file; None logs nowhere.
        every: Steps a line.
    """

    def __init__(self, path: Path | None, every: int = 50) -> None:
        self.path, self.every = path, every
        self._values: dict[str, list[torch.Tensor]] = {}

    def add(self, step: int, **values: torch.Tensor) -> None:
        """Note scalars of one step; a line is written when `every` steps are full."""
        for name, value in values.items():
            self._values.setdefault(name, []).append(value.detach())
        if self.path is not None and (step + 1) % self.every == 0:
            means = {k: round(float(torch.stack(v).mean()), 6) for k, v in self._values.items()}
            with self.path.open("a") as file:
                file.write(json.dumps({"step": step + 1, **means}) + "\n")
            self._values.clear()

    def last(self) -> dict[str, float]:
        """The newest line, empty when there is none."""
        if self.path is None or not self.path.exists():
            return {}
        return json.loads(self.path.read_text().splitlines()[-1])
