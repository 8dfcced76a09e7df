"""A web server of one's own that speaks as a model hub does, and as a plain mirror."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from id3d_engine.models import download

REVISION = "4e63672c03103b6c636b8fb4119ba982469b2955"


@dataclass
class Hub:
    """What the server serves, and how it misbehaves.

    Attributes:
        url: Its address.
        files: Contents by path: "user/name/..." are repositories, anything else plain files.
        cut: Bytes after which each file's next transfer is cut, once a file.
        ranges: Whether it honours Range.
        requests: Path and Range of everything that was asked for, in order.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True
    requests: list[tuple[str, str]] = field(default_factory=list)
    was_cut: set[str] = field(default_factory=set)

    def publish(self, hub_id: str, folder: Path, licence: str = "") -> None:
        """Serve a folder as a repository."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.files[f"{hub_id}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
        if licence:
            self.licences[hub_id] = licence

    def downloads(self) -> list[str]:
        """Names of the files that were asked for."""
        return [path.rsplit(f"{REVISION}/")[-1] for path, _ in self.requests if not path.startswith("api/")]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    served = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            served.requests.append((path, self.headers.get("Range", "")))
            if path.startswith("api/models/"):
                self._api(re.sub(r"/revision/.*", "", path.removeprefix("api/models/")))
            else:
                self._file(path.replace(f"/resolve/{REVISION}", ""))

        def _api(self, hub_id: str) -> None:
            names = [n.removeprefix(f"{hub_id}/") for n in served.files if n.startswith(f"{hub_id}/")]
            if not names:
                self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
                return
            siblings = []
            for name in names:
                content = served.files[f"{hub_id}/{name}"]
                entry: dict = {"rfilename": name, "size": len(content), "blobId": "0"}
                if name.endswith((".safetensors", ".bin")):
                    digest = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
                siblings.append(entry)
            card = {"license": served.licences[hub_id]} if hub_id in served.licences else {}
            answer = {"id": hub_id, "sha": REVISION, "siblings": siblings, "cardData": card}
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def _file(self, path: str) -> None:
            content = served.files.get(path)
            if content is None:
                self._send(404, b"", {})
                return
            etag = f'"{hashlib.md5(content).hexdigest()}"'
            start = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range", etag) == etag
            if not (start and served.ranges and same):
                self._send(200, content, {"ETag": etag}, path)
            elif int(start[1]) >= len(content):
                self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            else:
                first = int(start[1])
                place = f"bytes {first}-{len(content) - 1}/{len(content)}"
                self._send(206, content[first:], {"Content-Range": place, "ETag": etag}, path)

        def _send(self, code: int, body: bytes, headers: dict[str, str], path: str = "") -> None:
            self.send_response(code)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if path and served.cut is not None and path not in served.was_cut and len(body) > served.cut:
                served.was_cut.add(path)
                self.wfile.write(body[: served.cut])
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    monkeypatch.setattr(download, "_PAUSE_S", 0.01)
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder."""
    monkeypatch.setenv("ID3D_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"
