"""What the command line says when something goes wrong, and how it stops."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import Id3dError, OutOfMemory

CANCELLED = 130
# A program that starts the engine sets this and keeps our standard input open: closing it means stop.
STOP_AT_END_OF_INPUT = "ID3D_STOP_AT_END_OF_INPUT"
_GRACE_S = 10.0  # for the checkpoint, once nobody waits for the head any more
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_TEXTS = tuple(f"os error {number}" for number in (*_FULL, 112))  # 112 on Windows


def explain(error: BaseException, *, resumes: bool = False) -> Id3dError:
    """Any exception as one sentence for the user; `resumes` says that the command has --resume."""
    if _is_disk_full(error):
        then = "go on with --resume" if resumes else "run the same command again"
        return Id3dError(f"the disk is full: free some space, then {then}")
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


def _is_disk_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        # safetensors tells the number in its text alone.
        if type(error).__name__ == "SafetensorError" and any(text in str(error) for text in _FULL_TEXTS):
            return True
        error = error.__cause__
    return False


@contextmanager
def cancel_on_signal() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets; a second one kills the process at once.

    Under a program that set `STOP_AT_END_OF_INPUT`, the end of standard input sets it too: that
    program asks so on every system, and it cannot die without doing so.
    """
    cancel = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        cancel.set()
        print("\nstopping after this step; once more stops at once", file=sys.stderr, flush=True)

    if os.environ.pop(STOP_AT_END_OF_INPUT, ""):
        _watch_input(cancel)
    if threading.current_thread() is not threading.main_thread():
        yield cancel  # only the main thread may install handlers
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch_input(cancel: threading.Event) -> None:
    """Set `cancel` when standard input ends, and end the process if it does not end by itself."""
    # The pipe moves away from standard input: a library that asks what that is would wait for our
    # pending read on Windows.
    pipe, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(pipe, 64):
            pass
        cancel.set()
        time.sleep(_GRACE_S)
        os._exit(CANCELLED)

    threading.Thread(target=watch, daemon=True).start()
