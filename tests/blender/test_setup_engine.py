"""The engine's environment: chosen, made, stopped, gone on with; no Blender and no network needed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def _load(name: str) -> ModuleType:
    """A module of the add-on without the add-on, which needs bpy."""
    spec = importlib.util.spec_from_file_location(f"id3d_addon_{name}", ROOT / "blender_addon" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


child, setup, builds = _load("child"), _load("setup_engine"), _load("torch_builds")


def _wheel(folder: Path, name: str, payload: int = 0) -> None:
    """A package of one module and `payload` bytes that do not compress."""
    info = f"{name}-1.0.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "answer = 42\n")
        wheel.writestr(f"{name}/data", bytes(payload))
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{name}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")


class _Index(SimpleHTTPRequestHandler):
    """A package index of the folders below `directory`; wheels come slowly while `slow` is set."""

    slow = threading.Event()

    def copyfile(self, source, outputfile) -> None:
        while block := source.read(1 << 16):
            outputfile.write(block)
            if self.slow.is_set() and self.path.endswith(".whl"):
                time.sleep(0.1)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def index(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Index, directory=str(tmp_path / "index")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def _start(plan, folder: Path, **environment: str):
    file = setup.write_plan(plan, folder / "plan.json")
    command = [sys.executable, str(ROOT / "blender_addon" / "setup_engine.py"), str(file)]
    return child.Child(command, child.clean_environment(**environment), folder, folder / "setup.log")


def _imports(folder: Path, name: str) -> bool:
    code = f"import {name}; print({name}.answer)"
    done = subprocess.run([setup.python_of(folder), "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() == "42"


@pytest.mark.slow
def test_stopped_in_mid_download_it_goes_on_and_later_takes_wheels_offline(tmp_path, index):
    _wheel(tmp_path / "index" / "torch", "torch", 20 << 20)
    _wheel(tmp_path / "index" / "small", "small")
    folder = tmp_path / "engine"
    mirror = {"PIP_INDEX_URL": index, "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
    plan = setup.Plan(str(folder), "cpu", index, ("torch>=1.0", "small"), 0.1)
    assert setup.state_of(folder, plan.requirements) == setup.ABSENT

    _Index.slow.set()
    folder.mkdir()
    run = _start(plan, folder, **mirror)
    messages: list[str] = []
    until = time.monotonic() + 120
    while not any("Downloading torch" in message for message in messages) and time.monotonic() < until:
        assert run.poll() is None, run.log.read_text()
        messages += [event["message"] for event in run.events()]
        time.sleep(0.02)
    clicked = time.monotonic()
    run.cancel()
    assert run.wait() == setup.CANCELLED and time.monotonic() - clicked < 2
    assert run.reason() == "stopped; Set Up Engine goes on from here"
    assert setup.state_of(folder, plan.requirements) == setup.PARTIAL

    # What a kill while pip unpacks leaves: a package that looks installed, without its files.
    (site,) = (folder / "venv").glob("**/site-packages")
    (site / "small-1.0.dist-info").mkdir()
    (site / "small-1.0.dist-info" / "METADATA").write_text("Name: small\nVersion: 1.0\n")

    _Index.slow.clear()
    run = _start(plan, folder, **mirror)
    assert run.wait() == 0, run.log.read_text()
    assert {"environment", "torch", "packages"} == {event["stage"] for event in run.events()}
    assert setup.state_of(folder, plan.requirements) == setup.READY
    assert _imports(folder, "torch") and _imports(folder, "small")
    assert not (folder / "cache").exists() and not (folder / "temporary").exists()

    # The next version needs one more package; the machine is offline, its user has a folder of wheels.
    later = (*plan.requirements, "more")
    assert setup.state_of(folder, later) == setup.OUTDATED
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    plan = setup.Plan(str(folder), "cpu", index, later, 0.1, str(wheels))
    run = _start(plan, folder, PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS="")
    assert run.wait() == 1
    assert run.reason() == "there is no more for this Python and system: complete the folder or index"
    _wheel(wheels, "more")
    run = _start(plan, folder, PIP_CONFIG_FILE="/dev/null", PIP_FIND_LINKS="")
    assert run.wait() == 0, run.log.read_text()
    assert setup.state_of(folder, later) == setup.READY and _imports(folder, "more")

    setup.python_of(folder).unlink()
    assert setup.state_of(folder, later) == setup.BROKEN


def test_what_cannot_work_is_said_before_anything_is_made(tmp_path):
    plan = setup.Plan(str(tmp_path / "engine"), "cpu", "", ("small",), 1e6)
    run = _start(plan, tmp_path)
    assert run.wait() == 1
    assert "1000000.0 GiB are needed and " in run.reason() and "free some space first" in run.reason()
    assert not (tmp_path / "engine" / "venv").exists()


def test_two_blenders_do_not_set_up_at_once(tmp_path):
    plan = setup.Plan(str(tmp_path / "engine"), "cpu", "", ("small",), 0.1)
    (tmp_path / "engine").mkdir()
    with setup._only_one(tmp_path / "engine"):
        run = _start(plan, tmp_path)
        assert run.wait() == 1
    assert run.reason() == "another Blender is setting up the engine: wait until it is done"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  Downloading torch-2.9.1-cp311-cp311-linux_x86_64.whl (183.0 MB)", "Downloading torch (183.0 MB)"),
        ("Downloading http://x/whl/numpy-2.0-py3.whl#sha256=ab (16 MB)", "Downloading numpy (16 MB)"),
        ("Collecting numba>=0.61", "Looking for numba"),
        (
            "Installing collected packages: mpmath, sympy, torch",
            "Installing 3 packages; this takes minutes",
        ),
        ("Requirement already satisfied: pip", ""),
    ],
)
def test_pips_output_for_people(line, words):
    assert setup._in_words(line) == words


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "the disk is full"),
        ("WARNING: Retrying after connection broken by 'NewConnectionError'", "index cannot be reached"),
        ("urllib3.exceptions.ReadTimeoutError: HTTPSConnectionPool", "it goes on from here"),
        ("ERROR: something else", "pip failed: ERROR: something else"),
    ],
)
def test_pips_errors_for_people(line, sentence):
    assert sentence in setup._explain_pip([line + "\n", "more\n"])


def test_the_list_is_the_engines_own():
    names = setup.requirements_of(ROOT / "pyproject.toml")
    assert any(name.startswith("torch>=") for name in names) and any("dlib" in name for name in names)


def test_which_torch():
    machine = builds.Machine
    rtx = machine("Linux", False, "NVIDIA GeForce RTX 4090", 550, 8.9)
    assert builds.choose(rtx) == (builds.CUDA, "for the NVIDIA GeForce RTX 4090")
    assert builds.choose(rtx, "cpu")[0] is builds.CPU
    assert builds.choose(machine("Windows", False, "NVIDIA GeForce GTX 1080", 537, 6.1))[0].name == "cu126"
    old, why = builds.choose(machine("Linux", False, "Tesla K80", 470, 3.7))
    assert old is builds.CPU and "too old: update it to 525" in why
    assert builds.choose(machine("Windows")) == (builds.CPU, "no NVIDIA GPU was found")
    assert builds.choose(machine("Darwin", True))[0] is builds.MPS
    for wrong, kind in (
        (machine("Darwin", True), "cuda"),
        (machine("Linux"), "mps"),
        (machine("Darwin"), "auto"),
    ):
        with pytest.raises(ValueError, match=r": (choose|use) "):
            builds.choose(wrong, kind)


def test_what_nvidia_smi_says():
    table = "NVIDIA A100-SXM4-80GB, 535.129.03, 8.0\nNVIDIA A100-SXM4-80GB, 535.129.03, 8.0\n"
    assert builds.parse_nvidia_smi(table) == ("NVIDIA A100-SXM4-80GB", 535, 8.0)
    for nonsense in ("", "No devices were found\n"):
        with pytest.raises(ValueError):
            builds.parse_nvidia_smi(nonsense)
    assert builds.this_machine().system
