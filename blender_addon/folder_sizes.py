"""How much is in a folder, counted in the background: drawing code must not walk through disks."""

from __future__ import annotations

import threading
import time
from pathlib import Path

_FRESH_S = 10.0
_known: dict[Path, tuple[float, str]] = {}  # folder -> when counted, text


def size_text(folder: Path) -> str:
    """`3 items, 120 MB`; counted anew after some seconds. At first an ellipsis."""
    when, text = _known.get(folder, (0.0, "..."))
    if time.monotonic() - when > _FRESH_S or not when:
        _known[folder] = (time.monotonic(), text)
        threading.Thread(target=_count, args=(folder,), daemon=True).start()
    return text


def _count(folder: Path) -> None:
    try:
        items = sum(1 for _ in folder.iterdir())
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        text = f"{items} items, {size / 1e6:.0f} MB"
    except OSError:
        text = "empty"
    _known[folder] = (time.monotonic(), text)
