"""The remote engine's client against a small server that speaks docs/remote.md; no Blender needed."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from id3d_engine.identity import Identity

FILE = Path(__file__).parents[2] / "blender_addon" / "remote.py"
_SPEC = importlib.util.spec_from_file_location("id3d_addon_remote", FILE)
assert _SPEC is not None and _SPEC.loader is not None
remote = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(remote)

PICTURE = b"\x89PNG picture"


class Server(ThreadingHTTPServer):
    """One job at a time; what a test changes is in its attributes."""

    def __init__(self, bundle: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.bundle = bundle
        self.sha256 = hashlib.sha256(bundle).hexdigest()
        self.jobs: dict[str, dict] = {}  # one-time key -> request
        self.asked: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.polls = 0
        self.ends = {"state": "done"}
        self.runs_for = 1
        self.breaks_at = 0  # bytes after which the first download breaks off
        self.key = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refused():
            return
        if body["settings"]["text"] == "TOO LONG":
            self._json(422, {"error": "the text is too long: use fewer words"})
            return
        self.server.jobs[self.headers["Idempotency-Key"]] = body
        self._json(201, {"job": "job-1"})

    def do_GET(self) -> None:
        if self._refused():
            return
        server = self.server
        if self.path.endswith("/preview"):
            self._send(200, PICTURE)
        elif self.path.endswith("/bundle"):
            self._bundle()
        else:
            server.polls += 1
            progress = {"stage": "sculpt", "step": server.polls, "steps": 9, "elapsed_s": 1.0, "eta_s": 5.0}
            if server.polls <= server.runs_for:
                self._json(200, {"state": "running", "progress": progress, "preview": 1})
            else:
                bundle = {"bytes": len(server.bundle), "sha256": server.sha256}
                self._json(200, {"progress": progress, "preview": 1, "bundle": bundle} | server.ends)

    def do_DELETE(self) -> None:
        if not self._refused():
            self._send(204, b"")

    def _bundle(self) -> None:
        server, asked = self.server, self.headers.get("Range", "")
        server.ranges.append(asked)
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        data = server.bundle[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if server.breaks_at:
            self.wfile.write(data[: server.breaks_at])
            server.breaks_at = 0
            self.close_connection = True
        else:
            self.wfile.write(data)

    def _refused(self) -> bool:
        self.server.asked.append((self.command, self.path))
        wrong = bool(self.server.key) and self.headers.get("Authorization") != f"Bearer {self.server.key}"
        if wrong:
            self._json(401, {})
        return wrong

    def _json(self, code: int, answer: dict) -> None:
        self._send(code, json.dumps(answer).encode())

    def _send(self, code: int, payload: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_) -> None:
        pass


def _zip(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, payload in files.items():
            archive.writestr(name, payload)
    return memory.getvalue()


@pytest.fixture
def parts(small_head, tmp_path) -> dict[str, bytes]:
    folder = small_head.write(tmp_path / "there.head", preview=False)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture
def server(parts):
    server = Server(_zip(parts))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def person(tmp_path) -> Path:
    random = np.random.default_rng(0)
    embedding, measures, colours, silhouette = (
        random.normal(size=size).astype(np.float32) for size in (128, 40, 7, 5)
    )
    silhouette[2:4] = np.nan
    return Identity(embedding, "dlib", 3, measures, colours, silhouette).save(tmp_path / "anna.id")


@pytest.fixture
def start(server, tmp_path):
    """Start the client as the add-on does; returns the process."""

    def run(
        *arguments: object, key: str = "", local: str = "", address: str = server.address
    ) -> subprocess.Popen[str]:
        command = [sys.executable, FILE, address, "generate", "--out", tmp_path / "anna.head"]
        return subprocess.Popen(
            [str(part) for part in [*command, *arguments]],
            env=os.environ
            | {"ID3D_REMOTE_KEY": key, "ID3D_LOCAL_PYTHON": local, remote.STOP_AT_END_OF_INPUT: "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def _end(process: subprocess.Popen[str]) -> tuple[int, list[dict], str]:
    """Exit code, events, and the last line of standard error."""
    assert process.stdout is not None and process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()  # `communicate` would end its input first
    process.wait(timeout=60)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.strip().split("\n")[-1]


def test_an_identity_goes_out_and_a_head_comes_back(server, start, person, parts, tmp_path):
    server.breaks_at = 5000
    code, events, why = _end(
        start("--id", person, "--text=bald", "--preset", "high", "--seed", 5, "--device", "cpu")
    )
    assert (code, why) == (0, "")
    (request,) = server.jobs.values()
    assert request["settings"] == {
        "text": "bald", "preset": "high", "seed": 5, "expressions": "all", "topology": "fine",
    }  # fmt: skip
    assert request["identity"]["encoder"] == "dlib" and request["identity"]["sources"] == 3
    for name in ("embedding", "measures", "colours", "silhouette"):
        sent = np.array(request["identity"][name], np.float32)  # None, JSON's null, becomes NaN
        np.testing.assert_array_equal(sent, getattr(Identity.load(person), name))
    assert request["identity"]["silhouette"][2:4] == [None, None]
    assert "photos" not in request

    stages = [event["stage"] for event in events]
    assert stages[:2] == ["identity", "send"] and "sculpt" in stages and stages[-1] == "done"
    assert any(event["preview"].endswith("preview.png") for event in events)
    assert server.ranges == ["", "bytes=5000-"], "a broken download goes on where it was"
    head = tmp_path / "anna.head"
    assert {name: (head / name).read_bytes() for name in parts} == parts
    assert not (tmp_path / "anna.head.partial").exists()


def test_photos_stay_here_unless_allowed(server, start, tmp_path):
    photo = tmp_path / "me.jpg"
    photo.write_bytes(b"a photo")
    code, _, why = _end(start(photo))
    assert code == 2 and "a local engine reads the photos, so that they stay here" in why
    assert server.jobs == {}
    code, _, why = _end(start(photo, "--send-photos"))
    assert (code, why) == (0, "")
    (request,) = server.jobs.values()
    assert request["photos"] == ["YSBwaG90bw=="] and "identity" not in request
    assert "me.jpg" not in json.dumps(request)


def test_a_local_engine_makes_the_identity(server, start, person, tmp_path):
    engine = tmp_path / "python"
    engine.write_text(
        f"#!{sys.executable}\nimport shutil, sys\nassert sys.argv[3] == 'identity', sys.argv\n"
        f"sys.exit('id3d: no face was found') if 'no.jpg' in sys.argv else "
        f"shutil.copy({str(person)!r}, sys.argv[-1])\n"
    )
    engine.chmod(0o755)
    assert _end(start("a.jpg", local=str(engine)))[0] == 0
    assert next(iter(server.jobs.values()))["identity"]["sources"] == 3
    code, _, why = _end(start("no.jpg", "--overwrite", local=str(engine)))
    assert (code, why) == (2, "id3d: no face was found")


@pytest.mark.parametrize("how", ["signal", "end of input"])
def test_cancel_tells_the_server_and_leaves_nothing(server, start, person, tmp_path, how):
    server.runs_for = 1000
    process = start("--id", person)
    assert process.stdout is not None
    while '"sculpt"' not in process.stdout.readline():
        pass
    asked = time.monotonic()
    if how == "signal":
        process.send_signal(signal.SIGTERM)
    else:
        assert process.stdin is not None
        process.stdin.close()
    code, _, why = _end(process)
    assert (code, why) == (130, "id3d: cancelled") and time.monotonic() - asked < 2
    assert server.asked[-1] == ("DELETE", "/v1/jobs/job-1")
    assert not list(tmp_path.glob("anna.head*"))


def test_resume_asks_for_the_same_job(server, start, person, tmp_path):
    server.runs_for = 1000
    process = start("--id", person)
    assert process.stdout is not None
    while '"sculpt"' not in process.stdout.readline():
        pass
    process.kill()
    process.communicate()
    server.runs_for = 0
    assert _end(start("--id", person, "--resume"))[0] == 0
    assert len(server.jobs) == 1, "one job, not two"


def test_a_job_that_nobody_answers_goes_on_later(start, person, server, tmp_path):
    code, _, why = _end(start("--id", person, address="http://127.0.0.1:9"))
    assert code == 1 and "does not answer" in why
    once = json.loads((tmp_path / "anna.head.partial" / "job.json").read_text())["once"]
    assert _end(start("--id", person, "--resume"))[0] == 0
    assert [*server.jobs] == [once] and not (tmp_path / "anna.head.partial").exists()


def test_a_refusal_spares_a_local_engines_checkpoints(server, start, person, tmp_path):
    checkpoints = tmp_path / "anna.head.partial" / "request.json"
    checkpoints.parent.mkdir()
    checkpoints.touch()
    assert _end(start("--id", person, "--text=TOO LONG", "--resume"))[0] == 2
    assert checkpoints.exists()


def test_a_preview_that_is_in_use_does_not_end_the_job(server, start, person, tmp_path):
    (tmp_path / "anna.head.partial" / "preview.png").mkdir(parents=True)  # nothing takes its place
    code, _, why = _end(start("--id", person))
    assert (code, why) == (0, "")


@pytest.mark.parametrize(
    ("ends", "code", "sentence"),
    [
        (
            {"state": "failed", "error": "memory ran out there: use draft"},
            1,
            "memory ran out there: use draft",
        ),
        ({"state": "cancelled"}, 1, "the server stopped the job"),
        ({"state": "done", "bundle": None}, 1, "another version of the protocol"),
        ({"state": "done", "bundle": {"bytes": 10, "sha256": "00"}}, 1, "arrived damaged: generate it again"),
    ],
)
def test_a_job_that_fails_there(server, start, person, tmp_path, ends, code, sentence):
    server.ends = ends
    found, _, why = _end(start("--id", person))
    assert found == code and sentence in why
    assert not list(tmp_path.glob("anna.head*"))


def test_refusals_are_sentences(server, start, person, tmp_path):
    code, _, why = _end(start("--id", person, "--text=TOO LONG"))
    assert (code, why) == (2, "id3d: the text is too long: use fewer words")
    assert not list(tmp_path.glob("anna.head*"))
    server.key = "secret"
    code, _, why = _end(start("--id", person, key="wrong"))
    assert code == 1 and "refuses the key: check it in ID3D's preferences" in why
    assert _end(start("--id", person, key="secret"))[0] == 0


def test_hair_comes_along(server, start, person, parts, tmp_path):
    server.bundle = _zip(parts | {"hair.safetensors": b"strands"})
    server.sha256 = hashlib.sha256(server.bundle).hexdigest()
    code, _, why = _end(start("--id", person))
    assert (code, why) == (0, "")
    assert (tmp_path / "anna.head" / "hair.safetensors").read_bytes() == b"strands"


def test_a_bundle_writes_nowhere_else(server, start, person, parts, tmp_path):
    server.bundle = _zip(parts | {"../escaped.txt": b"!"})
    server.sha256 = hashlib.sha256(server.bundle).hexdigest()
    code, _, why = _end(start("--id", person))
    assert code == 1 and "what came is no head (it holds ../escaped.txt)" in why
    assert not (tmp_path / "escaped.txt").exists() and not (tmp_path / "anna.head").exists()


@pytest.mark.parametrize("address", ["", "example.org", "ftp://x", "http://x:port", "https://me:pw@x"])
def test_no_address(address):
    with pytest.raises(remote.RemoteInputError, match="write it as https://host:port"):
        remote.check_address(address)


def test_identities_go_in_the_clear_to_near_hosts_only():
    for near in ("http://localhost:80", "http://127.0.0.1", "http://192.168.1.5:1", "http://render.local/"):
        assert remote.check_address(near) == near.rstrip("/")
    assert remote.check_address(" https://example.org/id3d/ ") == "https://example.org/id3d"
    for far in ("http://example.org", "http://8.8.8.8"):
        with pytest.raises(remote.RemoteInputError, match="in the clear: use https"):
            remote.check_address(far)


def test_nobody_answers():
    client = remote.Client("http://127.0.0.1:9", timeout_s=1)
    with pytest.raises(remote.Unreachable, match=r"does not answer .*: check address and network"):
        client.status("x")


def test_it_takes_the_engines_command_line():
    from id3d_engine.cli import build_parser

    line = ["generate", "a.jpg", "--out", "x.head"]
    engine = vars(build_parser().parse_args(line))
    mine = vars(remote.build_parser().parse_intermixed_args(["http://x", *line]))
    assert engine.keys() - {"run"} <= mine.keys()


@pytest.mark.slow
def test_blender_makes_a_head_there(drive, server, person, extension_zip, tmp_path):
    server.key = "secret"
    facts = json.loads(drive("drive_remote.py", extension_zip, server.address, person, home=tmp_path)[-1])
    assert facts["generate"] == ["FINISHED"] and facts["head"] == {"keys": 5, "seed": 7}
    assert "refuses the key: check it in ID3D's preferences" in facts["wrong_key"]
    assert "http://127.0.0.1:9 does not answer" in facts["nobody"] and facts["left"] == [1, 1]
    assert facts["discard"] == ["FINISHED"] and facts["discarded"] == [0, 0]
    (request,) = server.jobs.values()
    assert request["settings"]["text"] == "bald" and request["settings"]["seed"] == 3
    assert "identity" in request and "photos" not in request
