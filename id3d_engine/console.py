"""What the command line says when something goes wrong, and how it stops."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import Id3dError, OutOfMemory

CANCELLED = 130


def explain(error: BaseException) -> Id3dError:
    """Any exception as one sentence for the user."""
    if isinstance(error, Id3dError):
        return error
    if _is_out_of_memory(error):
        where = "the GPU's memory" if "CUDA" in str(error) else "memory"
        return OutOfMemory(
            f"{where} ran out: use --preset draft, fewer --expressions, or close other programs"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return Id3dError(f"{error.filename}: {(error.strerror or 'cannot be used').lower()}")
    text = " ".join(str(error).split()) or "no further text"
    return Id3dError(f"unexpected {type(error).__name__}: {text}; run again with --debug to see where")


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    # torch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


@contextmanager
def cancel_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a second one kills the process at once."""
    cancel = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        cancel.set()
        print("\nstopping after this step; once more stops at once", file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():
        yield cancel  # only the main thread may install handlers
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
