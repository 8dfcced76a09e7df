"""One file over HTTP: goes on after a cut, is checked, and appears under its name only when it is right.

The unfinished file is `NAME.partial`; beside it, `NAME.validator` keeps the server's ETag, so that a
file which has changed in the meantime begins again instead of being joined from two versions.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..digest import sha256_of
from ..errors import Id3dError, InputError

_CHUNK = 1 << 16  # what a cut connection loses at most
_ATTEMPTS, _PAUSE_S, _TIMEOUT_S = 5, 2.0, 30.0
_GB = 1e9


def fetch(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    sha256: str = "",
    headers: Mapping[str, str] | None = None,
    received: Callable[[int], None] = lambda count: None,
) -> None:
    """Download `url` to `target`; a `target` that is already right is kept.

    Args:
        url: http or https.
        target: Its folder is made.
        size: Bytes, if known.
        sha256: Hexadecimal digest, if known.
        headers: Sent with every request, a token say; not to other hosts that a server redirects to.
        received: Told the number of bytes of every piece, and of what was there before.

    Raises:
        InputError: the server has no such file, or what came is not what was promised; nothing is kept.
        Id3dError: the connection was lost; the partial file is kept for the next call.
    """
    if target.is_file() and _is_right(target, size, sha256):
        received(target.stat().st_size)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    validator = target.with_name(target.name + ".validator")
    _receive(url, partial, validator, size, sha256, headers or {}, received)
    if not _is_right(partial, size, sha256):
        found = f"{partial.stat().st_size} bytes, sha256 {sha256_of(partial)}"
        wanted = " and ".join(
            ([f"{size} bytes"] if size is not None else []) + ([f"sha256 {sha256}"] * bool(sha256))
        )
        partial.unlink()
        validator.unlink(missing_ok=True)
        raise InputError(
            f"{url} is not the file that was asked for ({found}; expected {wanted}):"
            " nothing was installed, check the source"
        )
    os.replace(partial, target)
    validator.unlink(missing_ok=True)


def _receive(
    url: str,
    partial: Path,
    validator: Path,
    size: int | None,
    sha256: str,
    headers: Mapping[str, str],
    received: Callable[[int], None],
) -> None:
    import requests

    had = partial.stat().st_size if partial.exists() else 0
    received(had)
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            with requests.get(
                url, headers={**headers, **_range(before, validator, sha256)}, stream=True, timeout=_TIMEOUT_S
            ) as answer:
                _store(answer, url, partial, validator, before, received)
            return
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            now = partial.stat().st_size if partial.exists() else 0
            failures = 0 if now > before else failures + 1
            if failures == _ATTEMPTS:
                of = "" if size is None else f" of {size / _GB:.2f}"
                raise Id3dError(
                    f"the download of {url} stopped after {now / _GB:.2f}{of} GB ({_reason(error)}):"
                    " run the same command again to go on from there"
                ) from error
            time.sleep(_PAUSE_S)


def _range(have: int, validator: Path, sha256: str) -> dict[str, str]:
    """Headers that ask for the rest, if it can be known to be of the same file."""
    plain = {"Accept-Encoding": "identity"}
    etag = validator.read_text(encoding="utf-8") if validator.exists() else ""
    if not have or not (etag or sha256):
        return plain
    return {**plain, "Range": f"bytes={have}-"} | ({"If-Range": etag} if etag else {})


def _store(
    answer: Any, url: str, partial: Path, validator: Path, have: int, received: Callable[[int], None]
) -> None:
    if answer.status_code == 416:  # nothing after what we have: it is whole, or the check will say not
        return
    if answer.status_code not in (200, 206):
        raise InputError(
            f"{url} cannot be downloaded, the server answers {answer.status_code} {answer.reason}:"
            f" {_advice(answer)}"
        )
    starts = re.match(rf"bytes {have}-", answer.headers.get("Content-Range", ""))
    goes_on = answer.status_code == 206 and starts is not None
    if not goes_on:
        received(-have)
    etag = answer.headers.get("ETag", "")
    if etag.startswith('"'):  # a weak one does not promise the same bytes
        validator.write_text(etag, encoding="utf-8")
    with open(partial, "ab" if goes_on else "wb") as file:
        for piece in answer.iter_content(_CHUNK):
            file.write(piece)
            received(len(piece))


def _advice(answer: Any) -> str:
    if answer.status_code in (401, 403):
        return "accept the model's terms on its page, then set HF_TOKEN to a token of yours"
    return "check the address"


def _is_right(path: Path, size: int | None, sha256: str) -> bool:
    if size is not None and path.stat().st_size != size:
        return False
    return not sha256 or sha256_of(path) == sha256


def _reason(error: Exception) -> str:
    text = type(error).__name__
    return {"ConnectionError": "no connection", "ReadTimeout": "no answer"}.get(text, "connection lost")
