"""A remote engine that looks like a local one: same command line, same lines. Knows nothing of bpy.

    python remote.py ADDRESS generate PHOTO... --out NAME.head ...

It makes the identity on this machine (with the engine whose Python is in ID3D_LOCAL_PYTHON), sends
that and the settings, follows the job, and fetches the head. Photos are sent with --send-photos
only. The key, if the server wants one, is in ID3D_REMOTE_KEY. docs/remote.md is the protocol.
Exit codes: 0 done, 1 failed, 2 bad input, 130 cancelled; the last line of standard error says why.
"""

from __future__ import annotations

import _thread
import argparse
import base64
import contextlib
import hashlib
import http.client
import ipaddress
import json
import math
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

CANCELLED = 130
SCHEMA = 1
# The same agreement as with a local engine.
STOP_AT_END_OF_INPUT = "ID3D_STOP_AT_END_OF_INPUT"
_ROOT = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 30.0
_CANCEL_TIMEOUT_S = 1.5
_POLL_EVERY_S = 1.0
_GIVE_UP_AFTER_S = 120.0
_LARGEST_HEAD = 4 << 30
_LARGEST_ANSWER = 16 << 20
_BLOCK = 1 << 18
_PARTS = re.compile(
    r"head\.json|head\.glb|preview\.png|(geometry|hair|identity)\.safetensors|textures/[\w-]+\.png"
)
_FINAL = ("done", "failed", "cancelled")
_LATER = ("measures", "colours", "silhouette")  # what older identity files lack


class RemoteError(Exception):
    """A sentence that says what is wrong and what to do."""

    exit_code = 1


class RemoteInputError(RemoteError):
    """What was given cannot be used."""

    exit_code = 2


class Unreachable(RemoteError):
    """No answer came; another try may help."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """The protocol's five requests.

    Args:
        address: `https://HOST[:PORT][/PATH]`; `http:` for this machine and private networks only.
        key: Sent as a bearer token, if any.
        timeout_s: How long one request may be silent, in seconds.

    Raises:
        RemoteInputError: the address is none, or would send an identity in the clear.
    """

    def __init__(self, address: str, key: str = "", timeout_s: float = _TIMEOUT_S) -> None:
        self._base = check_address(address)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_s = timeout_s
        self._opener = urllib.request.build_opener(_NoRedirect)

    def submit(self, request: dict[str, Any], once: str) -> str:
        """Start a job; the same `once` never starts a second one. Returns the job's id."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": once}
        answer = self._json("POST", "/v1/jobs", json.dumps(request).encode(), headers)
        if not isinstance(answer.get("job"), str) or not re.fullmatch(r"[\w-]{1,80}", answer["job"]):
            raise RemoteError(f"{self._base} is no ID3D server: check the address")
        return answer["job"]

    def status(self, job: str) -> dict[str, Any]:
        """`state`, `progress`, `preview`, and in the end `bundle` or `error`."""
        return self._json("GET", f"/v1/jobs/{job}")

    def cancel(self, job: str) -> None:
        """Stop the job and have the server forget it; does not wait long."""
        self._open("DELETE", f"/v1/jobs/{job}", timeout_s=_CANCEL_TIMEOUT_S).close()

    def preview(self, job: str) -> bytes:
        """The newest picture, a PNG."""
        with self._open("GET", f"/v1/jobs/{job}/preview") as answer:
            return answer.read(_LARGEST_ANSWER)

    def download(self, job: str, path: Path, size: int, sha256: str, told: Callable[[int], None]) -> None:
        """The bundle, appended to what `path` has of it; `told` hears the bytes so far.

        Raises:
            Unreachable: the connection broke off; what came is kept.
            RemoteError: what came is not what was announced; it is deleted.
        """
        have = path.stat().st_size if path.exists() else 0
        if have < size:
            headers = {"Range": f"bytes={have}-", "If-Range": f'"{sha256}"'} if have else {}
            with self._open("GET", f"/v1/jobs/{job}/bundle", headers=headers) as answer:
                goes_on = answer.status == 206
                have = have if goes_on else 0
                with path.open("ab" if goes_on else "wb") as file:
                    while have <= size and (block := self._read(answer)):
                        file.write(block)
                        have += len(block)
                        told(have)
        if have < size:
            raise Unreachable("the download broke off")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if have != size or found != sha256:
            path.unlink()
            raise RemoteError("the head arrived damaged: generate it again")

    def _read(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            return answer.read1(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable("the download broke off") from error

    def _json(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> dict[str, Any]:
        with self._open(method, path, body, headers) as answer:
            try:
                found = json.loads(answer.read(_LARGEST_ANSWER))
            except (OSError, http.client.HTTPException) as error:
                raise Unreachable(f"{self._base} broke off") from error
            except ValueError:
                found = None
        if not isinstance(found, dict):
            raise RemoteError(f"{self._base} is no ID3D server: check the address")
        return found

    def _open(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None, timeout_s: float = 0.0
    ) -> Any:
        request = urllib.request.Request(
            self._base + path, body, {**self._headers, **(headers or {})}, method=method
        )
        try:
            return self._opener.open(request, timeout=timeout_s or self._timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if "CERTIFICATE" in str(reason):
                raise RemoteError(f"{self._base} has no valid certificate: check the address") from error
            raise Unreachable(
                f"{self._base} does not answer ({reason}): check address and network"
            ) from error

    def _refusal(self, error: urllib.error.HTTPError) -> RemoteError:
        if error.code in (401, 403):
            return RemoteError(f"{self._base} refuses the key: check it in ID3D's preferences")
        if error.code in (429, 502, 503, 504):
            return Unreachable(f"{self._base} is busy: try again later")
        if 300 <= error.code < 400:
            where = error.headers.get("Location", "elsewhere")
            return RemoteError(f"{self._base} has moved to {where}: change the address")
        try:
            sentence = json.loads(error.read(_LARGEST_ANSWER))["error"]
        except (OSError, ValueError, KeyError, TypeError):
            sentence = f"{self._base} answered {error.code}: check that it is an ID3D server"
        return RemoteInputError(str(sentence)) if error.code == 422 else RemoteError(str(sentence))


def check_address(address: str) -> str:
    """The address without a final slash.

    Raises:
        RemoteInputError: it is none, or `http:` to a public host.
    """
    try:
        parts = urllib.parse.urlsplit(address.strip())
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.username:
        raise RemoteInputError(f"{address!r} is no address: write it as https://host:port")
    if parts.scheme == "http" and not _is_near(host):
        raise RemoteInputError(f"{address} would send an identity in the clear: use https://")
    return address.strip().rstrip("/")


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".lan", ".internal"))


def read_identity(path: Path) -> dict[str, Any]:
    """A `.id` file as `{"encoder", "sources", "embedding"}`, and those of `_LATER` that it has.

    Raises:
        RemoteInputError: it is no identity file.
    """
    try:
        payload = path.read_bytes()
        (length,) = struct.unpack_from("<Q", payload)
        header = json.loads(payload[8 : 8 + length])
        facts = json.loads(header["__metadata__"]["identity"])
        found: dict[str, Any] = {"encoder": facts["encoder"], "sources": facts["sources"]}
        for name in ("embedding", *(name for name in _LATER if name in header)):
            begin, end = header[name]["data_offsets"]
            numbers = struct.unpack(f"<{(end - begin) // 4}f", payload[8 + length + begin : 8 + length + end])
            found[name] = [None if math.isnan(number) else number for number in numbers]  # JSON has no NaN
        return found
    except (OSError, struct.error, ValueError, KeyError, TypeError) as error:
        raise RemoteInputError(f"{path} is not an identity file or is damaged: make it again") from error


def generate(client: Client, options: argparse.Namespace) -> None:
    """Run one job to its end; the head stands at `options.out`, whole or not at all.

    Raises:
        RemoteError: it failed; the text says why.
        KeyboardInterrupt: it was stopped; the server was told.
    """
    work = options.out.with_name(f"{options.out.name}.partial")
    if options.out.exists() and not options.overwrite:
        raise RemoteInputError(f"{options.out} is there already: choose another name")
    work.mkdir(parents=True, exist_ok=True)
    try:
        _make(client, options, work)
    except Unreachable:
        raise  # Resume asks for the same job again
    except RemoteError:
        _leave_nothing(work)
        raise
    if options.out.exists():
        shutil.rmtree(options.out)
    os.replace(work / "head", options.out)
    shutil.rmtree(work, ignore_errors=True)
    _say("done", str(options.out), 1, 1)


def _make(client: Client, options: argparse.Namespace, work: Path) -> None:
    """Have the head made, and put it into `work`."""
    _say("identity", "Reading the photos")
    request = _request(options)
    once = _once(work, request, options.resume)
    _say("send", "Sending the identity" if "identity" in request else "Sending the photos")
    job = client.submit(request, once)
    try:
        bundle = _follow(client, job, work)
        _fetch(client, job, bundle, work / "bundle.zip")
    except KeyboardInterrupt:
        with contextlib.suppress(RemoteError):  # whoever cancels does not wait for a server
            client.cancel(job)
        _leave_nothing(work)
        raise
    _unpack(work / "bundle.zip", work / "head")


def _leave_nothing(work: Path) -> None:
    # Checkpoints are those of a local engine that began this head: it can still go on.
    if not (work / "request.json").exists():
        shutil.rmtree(work, ignore_errors=True)


def _request(options: argparse.Namespace) -> dict[str, Any]:
    settings = {
        name: getattr(options, name) for name in ("text", "preset", "seed", "expressions", "topology")
    }
    request: dict[str, Any] = {"schema": SCHEMA, "settings": settings}
    if options.id:
        return request | {"identity": read_identity(options.id)}
    if options.send_photos:
        return request | {"photos": [base64.b64encode(path.read_bytes()).decode() for path in options.photos]}
    return request | {"identity": _identify(options.photos)}


def _identify(photos: list[Path]) -> dict[str, Any]:
    python = os.environ.get("ID3D_LOCAL_PYTHON", "")
    if not python:
        raise RemoteInputError(
            "a local engine reads the photos, so that they stay here: set up the engine, use an identity "
            "file, or allow photos to be sent"
        )
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "person.id"
        command = [python, "-m", "id3d_engine", "identity", *map(str, photos), "--out", str(out)]
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        print(done.stderr, end="", file=sys.stderr)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["the photos could not be read"]
            raise RemoteInputError(lines[-1].removeprefix("id3d: "))
        return read_identity(out)


def _once(work: Path, request: dict[str, Any], resume: bool) -> str:
    """The job's one-time key: the earlier one if this is the same request again."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    note = work / "job.json"
    if resume and note.exists():
        earlier = json.loads(note.read_text(encoding="utf-8"))
        if earlier["request_sha256"] == digest:
            return earlier["once"]
    (work / "bundle.zip").unlink(missing_ok=True)
    once = str(uuid.uuid4())
    temporary = note.with_suffix(".tmp")
    temporary.write_text(json.dumps({"request_sha256": digest, "once": once}), encoding="utf-8")
    os.replace(temporary, note)
    return once


def _follow(client: Client, job: str, work: Path) -> dict[str, Any]:
    """Until the job ends; returns what there is to fetch."""
    seen = 0
    while True:
        status = _patiently(lambda: client.status(job))
        if status.get("preview", 0) > seen:
            seen = status["preview"]
            (work / "preview.tmp").write_bytes(_patiently(lambda: client.preview(job)))
            # Whoever shows it never sees half. On Windows who has it open forbids it; a newer one comes.
            with contextlib.suppress(OSError):
                os.replace(work / "preview.tmp", work / "preview.png")
        if status.get("state") in _FINAL:
            break
        progress = {"stage": "wait", "step": 0, "steps": 0, "message": "Waiting for the server"}
        progress |= status.get("progress") or {}
        print(json.dumps(progress | {"preview": str(work / "preview.png") if seen else ""}), flush=True)
        time.sleep(_POLL_EVERY_S)
    if status["state"] == "cancelled":
        raise RemoteError("the server stopped the job: generate it again")
    if status["state"] == "failed":
        raise RemoteError(str(status.get("error", "the server gave no reason")))
    bundle = status.get("bundle")
    if not isinstance(bundle, dict) or {"bytes", "sha256"} - bundle.keys():
        raise RemoteError("the server speaks another version of the protocol: update the older side")
    return bundle


def _fetch(client: Client, job: str, bundle: dict[str, Any], path: Path) -> None:
    size = int(bundle["bytes"])

    def told(have: int) -> None:
        _say("download", "Fetching the head", have, size)

    _patiently(lambda: client.download(job, path, size, bundle["sha256"], told))


def _patiently(action: Callable[[], Any]) -> Any:
    """Try again while the server is out of reach, up to `_GIVE_UP_AFTER_S`."""
    until = time.monotonic() + _GIVE_UP_AFTER_S
    while True:
        try:
            return action()
        except Unreachable as error:
            if time.monotonic() > until:
                raise Unreachable(f"{error}; the job goes on there, Resume asks for it again") from error
            _say("wait", "The connection is lost; trying again")
            time.sleep(_POLL_EVERY_S)


def _unpack(archive: Path, folder: Path) -> None:
    """Only what a head bundle may hold."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as file:
            parts = [entry for entry in file.infolist() if not entry.is_dir()]
            wrong = [entry.filename for entry in parts if not _PARTS.fullmatch(entry.filename)]
            if wrong or sum(entry.file_size for entry in parts) > _LARGEST_HEAD:
                raise RemoteError(
                    f"what came is no head (it holds {(wrong or ['too much'])[0]}): ask its server"
                )
            file.extractall(folder, parts)
    except zipfile.BadZipFile as error:
        raise RemoteError("what came is no head: ask its server") from error


def _say(stage: str, message: str, step: int = 0, steps: int = 0) -> None:
    event = {"stage": stage, "step": step, "steps": steps, "elapsed_s": 0.0, "eta_s": 0.0}
    print(json.dumps(event | {"message": message, "preview": ""}), flush=True)


def build_parser() -> argparse.ArgumentParser:
    """Takes whatever `id3d generate` takes."""
    parser = argparse.ArgumentParser(prog="remote")
    parser.add_argument("address")
    parser.add_argument("command", choices=("generate",))
    parser.add_argument("photos", nargs="*", type=Path)
    for name in ("--id", "--out"):
        parser.add_argument(name, type=Path)
    for name, default in (("--text", ""), ("--preset", "draft"), ("--expressions", "all")):
        parser.add_argument(name, default=default)
    parser.add_argument("--topology", default="fine")
    for name in ("--device", "--progress", "--prior", "--blend"):  # a local engine's; the server has its own
        parser.add_argument(name)
    parser.add_argument("--seed", type=int, default=0)
    for name in ("--resume", "--overwrite", "--send-photos", "--save-identity", "--compile", "--debug"):
        parser.add_argument(name, action="store_true")
    return parser


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _watch_input() -> None:
    """Stop at the end of standard input: whoever started this asks so, or has died."""
    while os.read(0, 64):
        pass
    if hasattr(signal, "pthread_kill"):  # also ends a wait for the network at once
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:
        _thread.interrupt_main()


def main() -> int:
    """Run the command line."""
    options = build_parser().parse_intermixed_args()
    signal.signal(signal.SIGTERM, _interrupt)
    if os.environ.pop(STOP_AT_END_OF_INPUT, ""):
        threading.Thread(target=_watch_input, daemon=True).start()
    try:
        generate(Client(options.address, os.environ.get("ID3D_REMOTE_KEY", "")), options)
    except KeyboardInterrupt:
        print("id3d: cancelled", file=sys.stderr)
        return CANCELLED
    except RemoteError as error:
        print(f"id3d: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"id3d: {error.filename or 'the network'}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
