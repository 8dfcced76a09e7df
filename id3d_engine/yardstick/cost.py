"""What making a head costs: seconds, and the most memory that the process held meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_EVERY_S = 0.05


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Fills `seconds` and `peak_gb` (1e9 bytes of main memory, seen every 50 ms) when the work is done."""
    cost: dict[str, float] = {}
    process, done = psutil.Process(), threading.Event()
    most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not done.wait(_EVERY_S):
            most = max(most, process.memory_info().rss)

    watcher, began = threading.Thread(target=watch, daemon=True), time.perf_counter()
    watcher.start()
    try:
        yield cost
    finally:
        cost["seconds"] = time.perf_counter() - began
        done.set()
        watcher.join()
        cost["peak_gb"] = max(most, process.memory_info().rss) / 1e9
