"""What there is to download, asked before anything is: names, sizes, hashes and licence.

Three sources: a hub id ("user/name", or "user/name/FILE.safetensors"), a mirror (the address of a
model's folder in somebody's models folder, served by any web server), and the address of one file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ..errors import InputError
from .catalogue import Known, known
from .library import MANIFEST, Model
from .pickles import PICKLES
from .pipeline import select

_TIMEOUT_S = 30.0
_FILES = (".safetensors", *PICKLES)


@dataclass(frozen=True)
class Remote:
    """One file: where it goes (relative, with slashes), its address, bytes and sha256 as far as known."""

    path: str
    url: str
    size: int | None
    sha256: str = ""


@dataclass(frozen=True)
class Offer:
    """A model that could be downloaded; the fields of `library.Model`, and `note` for the user."""

    name: str
    source: str
    files: tuple[Remote, ...]
    revision: str = ""
    licence: str = ""
    commercial: str = "unknown"
    note: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files whose size is known."""
        return sum(file.size or 0 for file in self.files)


def is_address(what: str) -> bool:
    """Whether `what` is an http or https address."""
    return what.startswith(("http://", "https://"))


def is_hub_id(what: str) -> bool:
    """Whether `what` reads as "user/name", with a file's path after it or not."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+(/[\w./-]+\.\w+)?", what) is not None


def offer(what: str, *, revision: str | None = None, sha256: str = "") -> Offer:
    """Ask the source named by `what`.

    Args:
        what: A short name of the catalogue, a hub id, or an address.
        revision: Commit, branch or tag of a hub; None is its main branch.
        sha256: Expected digest, where `what` is one file.

    Raises:
        InputError: nothing is there, the source does not answer, or it has no usable model.
    """
    entry = known(what)
    if entry is None and is_address(what):
        is_file = PurePosixPath(urlsplit(what).path).suffix in _FILES
        return _one_address(what, sha256) if is_file else _mirror(what)
    mistyped = what.count("/") == 1 and PurePosixPath(what).suffix in _FILES
    if entry is None and (mistyped or not is_hub_id(what)):
        raise InputError(
            f"there is nothing called {what!r}: give a folder, a .safetensors file, an address, a hub id"
            " 'user/name', or a name that `id3d models list` shows"
        )
    if entry is not None:
        return _hub(entry.hub_id, entry.file, revision, sha256 or entry.sha256, entry)
    user, name, *file = what.split("/", 2)
    return _hub(f"{user}/{name}", "".join(file), revision, sha256, None)


def _hub(hub_id: str, file: str, revision: str | None, sha256: str, entry: Known | None) -> Offer:
    from huggingface_hub import HfApi, constants, get_token, hf_hub_url

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or constants.ENDPOINT
    token = get_token()
    try:
        info = HfApi(endpoint=endpoint, token=token).model_info(
            hub_id, revision=revision, files_metadata=True
        )
    except Exception as error:  # which errors a failed connection gives depends on the hub library's version
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{hub_id} cannot be asked for at {endpoint} ({reason}): check the name and the network, or copy"
            " the models folder from a machine that has the model"
        ) from error
    sizes = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    origin = f"{hub_id} on {endpoint}"
    if file and file not in sizes:
        raise InputError(f"{origin} has no file {file}: see its page")
    kept = {PurePosixPath(file).name: file} if file else select(sizes, origin)

    def remote(path: str, source: str) -> Remote:
        sibling = sizes[source]
        digest = (sibling.lfs.sha256 if sibling.lfs else "") or ""
        return Remote(
            path,
            hf_hub_url(hub_id, source, revision=info.sha, endpoint=endpoint),
            sibling.size,
            (sha256 if file else "") or digest,
        )

    card: Any = info.card_data
    return Offer(
        entry.name if entry else PurePosixPath(file).stem if file else hub_id.split("/")[1],
        f"{hub_id}/{file}" if file else hub_id,
        tuple(remote(path, source) for path, source in sorted(kept.items())),
        info.sha or "",
        entry.licence if entry else str(getattr(card, "license", None) or ""),
        entry.commercial if entry else "unknown",
        entry.note if entry else "",
        {"Authorization": f"Bearer {token}"} if token else {},
    )


def _mirror(url: str) -> Offer:
    url = url.rstrip("/")
    answer = _ask("get", f"{url}/{MANIFEST}")
    model = Model.from_json(answer.text, f"{url}/{MANIFEST}")
    return Offer(
        model.name,
        model.source,
        tuple(Remote(f.path, f"{url}/{quote(f.path)}", f.size, f.sha256) for f in model.files),
        model.revision,
        model.licence,
        model.commercial,
        f"mirrored at {url}",
    )


def _one_address(url: str, sha256: str) -> Offer:
    file = PurePosixPath(unquote(urlsplit(url).path))
    if file.suffix in PICKLES:
        raise InputError(
            f"{url} is a pickle, which is never opened: download it, convert it to safetensors, add that"
        )
    length = _ask("head", url).headers.get("Content-Length", "")
    size = int(length) if length.isdigit() else None
    return Offer(file.stem, url, (Remote(file.name, url, size, sha256),))


def _ask(method: str, url: str) -> Any:
    import requests

    try:
        answer = requests.request(
            method, url, timeout=_TIMEOUT_S, allow_redirects=True, headers={"Accept-Encoding": "identity"}
        )
    except requests.RequestException as error:
        raise InputError(f"{url} does not answer: check the address and the network") from error
    if not answer.ok:
        raise InputError(
            f"{url} is not there, the server answers {answer.status_code} {answer.reason}: check the address"
        )
    return answer
