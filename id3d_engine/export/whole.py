"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ..errors import InputError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file: until it is complete, whatever was at `path` stays.

    Raises:
        InputError: the place cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{path} cannot be written ({reason}): choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
