"""A denoiser's pass recorded as a CUDA graph: one launch instead of a thousand.

A small denoiser, or a small batch, is done sooner on a GPU than Python can ask for its next kernel. A
graph needs no compiler; it repeats the very kernels that were recorded, on the very same memory.

    prior.denoiser = Graphed(prior.denoiser, most_rows=8)
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..device import forget_workspaces
from .adapters import AdaptedUNet, Heard
from .base import UNet

MOST_SHAPES = 8  # of one run: a look's batch, what remains of one, those of other stages
_WARM = 2

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], object], Tensor]]
"""Records a pass -> what repeats it, and where its answer then lies."""


class Graphed(nn.Module):
    """An `AdaptedUNet` whose passes are recorded, one for each shape of what it is given.

    What is given is copied to where the recording reads, and the answer is a copy: both are the caller's.
    Passes with a gradient are never recorded.

    Args:
        eager: The denoiser, in its final place: its weights are not to move any more.
        most_rows: Larger batches are computed as ever; a recording keeps its activations' memory.
        note: Told why a pass could not be recorded; that and all others are computed as ever from then on.
            Without it the error is raised.
        recorder: Makes what records: by default CUDA graphs that share their memory.
    """

    note: Callable[[str], None] | None

    def __init__(
        self,
        eager: AdaptedUNet,
        most_rows: int,
        note: Callable[[str], None] | None = None,
        recorder: Callable[[], Record] | None = None,
    ) -> None:
        super().__init__()
        self.eager, self.most_rows, self.note = eager, most_rows, note
        self._recorder = recorder or CudaRecorder
        self._record = self._recorder()
        self._passes: dict[tuple[Any, ...], _Pass] = {}

    @property
    def unet(self) -> UNet:
        return self.eager.unet

    def heard(self, text: Tensor, identity: Tensor, expression: Tensor) -> Heard:
        """See `adapters.listen`."""
        return self.eager.heard(text, identity, expression)

    def forward(self, latents: Tensor, t: Tensor, heard: Heard) -> Tensor:
        """See `adapters.answer`."""
        known = None
        if len(latents) <= self.most_rows and not (torch.is_grad_enabled() and latents.requires_grad):
            known = self._known(latents, t, heard)
        return self.eager(latents, t, heard) if known is None else known(latents, t, heard)

    def forget(self) -> None:
        """Give the recordings' memory back."""
        self._passes.clear()
        self._record = self._recorder()

    def _known(self, latents: Tensor, t: Tensor, heard: Heard) -> _Pass | None:
        shapes = tuple((tuple(x.shape), x.dtype) for x in (latents, t, *_tensors(heard)))
        if shapes not in self._passes and len(self._passes) < MOST_SHAPES:
            try:
                self._passes[shapes] = _Pass(self.eager, latents, t, heard, self._record)
            except Exception as error:  # whatever a driver of unknown age may raise
                if self.note is None:
                    raise
                self.forget()
                self.most_rows = 0
                reason = " ".join(str(error).split())[:120]
                self.note(
                    f"no CUDA graphs from here on: {len(latents)} rows could not be recorded ({reason})"
                )
        return self._passes.get(shapes)


class _Pass:
    """One recording, and the memory that it reads from and writes to."""

    @torch.no_grad()
    def __init__(self, eager: AdaptedUNet, latents: Tensor, t: Tensor, heard: Heard, record: Record) -> None:
        self._latents, self._t = latents.clone(), t.clone()
        pairs = {path: [(k.clone(), v.clone()) for k, v in given] for path, given in heard.keys.items()}
        self._heard = Heard(heard.text.clone(), pairs)
        self._last = weakref.ref(heard)
        self._repeat, self._answer = record(lambda: eager(self._latents, self._t, self._heard))

    @torch.no_grad()
    def __call__(self, latents: Tensor, t: Tensor, heard: Heard) -> Tensor:
        self._latents.copy_(latents)
        self._t.copy_(t)
        if self._last() is not heard:  # the steps of one look hear the same
            for mine, given in zip(_tensors(self._heard), _tensors(heard), strict=True):
                mine.copy_(given)
            self._last = weakref.ref(heard)
        self._repeat()
        return self._answer.clone()


class CudaRecorder:
    """Records CUDA graphs that share one pool of memory, for they are repeated one after another."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, run: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
        """Raises whatever CUDA does."""
        graph, before, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream(), torch.cuda.Stream()
        stream.wait_stream(before)
        # A recording that fails leaves its stream the current one: the outer `with` takes that back.
        with torch.no_grad(), torch.cuda.stream(stream):
            for _ in range(_WARM):
                run()
            # Matrix products' workspaces have to lie in the graph's own pool, for others may be given back.
            forget_workspaces()
            with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
                answer = run()
        forget_workspaces()
        before.wait_stream(stream)
        self._pool = graph.pool()
        return graph.replay, answer


def _tensors(heard: Heard) -> list[Tensor]:
    return [heard.text, *(x for pairs in heard.keys.values() for pair in pairs for x in pair)]
