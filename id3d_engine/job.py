"""Progress, cancel, checkpoints and seeds of one long job.

Two rules make a killed job resumable to the same bytes:

1. Every random draw comes from `Job.generator(stage, step)`: a function of the seed, the stage and
   the step alone, so there is no generator state to save.
2. Everything else a stage carries from step to step is one `Checkpointable`, written by
   `Job.steps` as safetensors (temporary file, then rename).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .errors import Cancelled, InputError

if TYPE_CHECKING:
    import torch

CHECKPOINT_EVERY_S = 15.0
# What a checkpoint may cost before it is written half as often: training on a large base has 1.4 GB of it.
CHEAP_CHECKPOINT_S = 0.75


@dataclass(frozen=True)
class Progress:
    """One progress event.

    `preview` is the path of a PNG, `surface` that of a safetensors file with `vertices` (N, 3) float32
    in metres and `triangles` (T, 3) int32: the head as it is now. Empty where there is nothing new.
    """

    stage: str
    step: int
    steps: int
    elapsed_s: float
    eta_s: float
    message: str = ""
    preview: str = ""
    surface: str = ""


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """The listener that says nothing."""


class Checkpointable(Protocol):
    """What a stage carries from step to step."""

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """Everything the stage carries between steps, by name."""
        ...

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take back what `tensors` gave."""
        ...


class Stepper:
    """A module and its Adam-type optimizer as one `Checkpointable`."""

    def __init__(self, module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.module, self.optimizer = module, optimizer

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        out = {f"module.{k}": v.detach().contiguous() for k, v in self.module.state_dict().items()}
        for name, value in _leaves("optimizer", self.optimizer.state_dict()["state"]):
            out[name] = torch.as_tensor(value).detach().contiguous()
        return out

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.module.load_state_dict(
            {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
        )
        state: dict[int, dict[str, Any]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, *path, key = name.split(".")
                place = state.setdefault(int(index), {})
                for part in path:
                    place = place.setdefault(part, {})
                # Torch's optimisers count steps in a float tensor, others in a plain integer.
                plain = value.ndim == 0 and not value.is_floating_point()
                place[key] = value.item() if plain else value.clone()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Whatever is no mapping in nested mappings, by the dotted path to it."""
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(f"{name}.{key}", inner)


class Job:
    """One run: its seed, its listener, its cancel flag, and the folder its checkpoints live in.

    Args:
        folder: Where checkpoints go; None keeps nothing (tests, short calls).
        seed: Any integer; two jobs with the same seed and inputs give the same bytes on a CPU.
        listener: Called on the caller's thread, at most some times a second.
        cancel: Set it from any thread or signal handler; the job raises `Cancelled` at the next step.
        writes: Whether it keeps checkpoints, not reads them only: of processes that share a folder, one does.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        seed: int = 0,
        listener: Listener = silent,
        cancel: threading.Event | None = None,
        writes: bool = True,
    ) -> None:
        self.folder, self.seed, self.listener, self.writes = folder, seed, listener, writes
        self.cancel = cancel or threading.Event()
        self.timings_s: dict[str, float] = {}
        self.notes: list[str] = []
        self._latest = Progress("start", 0, 0, 0.0, 0.0)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def generator(self, stage: str, step: int = 0) -> torch.Generator:
        """A CPU generator that depends on seed, stage and step alone."""
        import torch

        digest = hashlib.sha256(f"{self.seed}/{stage}/{step}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))

    def note(self, sentence: str, *, keep: bool = True) -> None:
        """A sentence that the user should see, and `head.json` is to keep unless it is about his files."""
        if keep:
            self.notes.append(sentence)
        self.listener(Progress("note", 0, 0, 0.0, 0.0, sentence))

    def show(self, picture: bytes, surface: Mapping[str, torch.Tensor]) -> None:
        """The head as it is now, to the listener: files beside the checkpoints, whole or not at all.

        Args:
            picture: A PNG.
            surface: What `Progress.surface` promises; empty where it has not changed.
        """
        if self.folder is None:
            return
        png, mesh = self.folder / "preview.png", self.folder / "surface.safetensors"
        # A full disk, or a reader that holds the file (Windows), costs a preview and not the job.
        with suppress(OSError, *_disk_errors()):
            temporary = png.with_suffix(".tmp")
            temporary.write_bytes(picture)
            os.replace(temporary, png)
            if surface:
                _write(mesh, {k: v.detach().cpu().contiguous() for k, v in surface.items()}, {})
            self.listener(replace(self._latest, preview=str(png), surface=str(mesh) if surface else ""))

    def steps(
        self, stage: str, count: int, state: Checkpointable | None = None, message: str = ""
    ) -> Iterator[int]:
        """Yield the steps of `stage` that are still to do, restoring and saving `state` on the way.

        Raises:
            Cancelled: the cancel flag was set; `state` has been saved.
        """
        first, spent = self._restore(stage, state)
        began = saved = shown = time.monotonic()
        pace = CHECKPOINT_EVERY_S
        for step in range(first, count):
            self._stop_if_cancelled(stage, step, state, spent + time.monotonic() - began)
            now = time.monotonic()
            if now - shown > 0.2 or step == first:
                rate = (now - began) / max(step - first, 1)
                eta = rate * (count - step) if step > first else 0.0
                self._tell(Progress(stage, step, count, spent + now - began, eta, message))
                shown = now
            if state is not None and step > first and now - saved > pace:
                self._save(stage, step, state, spent + now - began)
                saved = time.monotonic()
                pace = CHECKPOINT_EVERY_S * (1 if saved - now < CHEAP_CHECKPOINT_S else 2)
            yield step
        elapsed = spent + time.monotonic() - began
        self.timings_s[stage] = elapsed
        if state is not None and first < count:
            self._save(stage, count, state, elapsed)
        self._tell(Progress(stage, count, count, elapsed, 0.0, message))

    def remember(self, stage: str, compute: Callable[[], dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """The result of a stage without steps: loaded if it was computed before, else computed and kept."""
        from safetensors.torch import load_file

        self._stop_if_cancelled(stage, 0, None, 0.0)
        path = self._path(stage)
        if path is not None and path.is_file():
            with _reading(path):
                return load_file(path)
        began = time.monotonic()
        self._tell(Progress(stage, 0, 1, 0.0, 0.0))
        result = {k: v.detach().cpu().contiguous() for k, v in compute().items()}
        elapsed = time.monotonic() - began
        self.timings_s[stage] = elapsed
        if path is not None:
            _write(path, result, {})
        self._tell(Progress(stage, 1, 1, elapsed, 0.0))
        return result

    def _tell(self, progress: Progress) -> None:
        self._latest = progress
        self.listener(progress)

    def _path(self, stage: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{stage}.safetensors"

    def _stop_if_cancelled(
        self, stage: str, step: int, state: Checkpointable | None, elapsed_s: float
    ) -> None:
        if not self.cancel.is_set():
            return
        if state is not None:
            self._save(stage, step, state, elapsed_s)
        raise Cancelled("cancelled; run the same command with --resume to go on from here")

    def _save(self, stage: str, step: int, state: Checkpointable, elapsed_s: float) -> None:
        path = self._path(stage)
        if path is not None and self.writes:
            tensors = {k: v.detach().cpu().contiguous() for k, v in state.tensors().items()}
            facts = {"step": step, "elapsed_s": round(elapsed_s, 3)}
            # One entry only: safetensors writes several in an order that changes from run to run.
            _write(path, tensors, {"checkpoint": json.dumps(facts)})

    def _restore(self, stage: str, state: Checkpointable | None) -> tuple[int, float]:
        path = self._path(stage)
        if state is None or path is None or not path.is_file():
            return 0, 0.0
        from safetensors import safe_open

        with _reading(path), safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["checkpoint"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        state.restore(tensors)
        return int(facts["step"]), float(facts["elapsed_s"])


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raises:
    InputError: a checkpoint cannot be read as what was written.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        # Not "leave out --resume": training has no such option, and other stages' checkpoints are good.
        raise InputError(f"{path} is damaged: delete it, then run the same command again") from error


def _disk_errors() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (SafetensorError,)


def _write(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    from safetensors.torch import save_file

    temporary = path.with_suffix(".tmp")
    save_file(tensors, temporary, metadata=metadata)
    os.replace(temporary, path)
