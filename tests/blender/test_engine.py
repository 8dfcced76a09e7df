"""The extension's view of the engine's process; no Blender needed."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import pytest

_FILE = Path(__file__).parents[2] / "blender_addon" / "engine.py"
_SPEC = importlib.util.spec_from_file_location("id3d_addon_engine", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
addon_engine = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(addon_engine)


@pytest.fixture
def start(engine, tmp_path):
    def run(**options):
        settings = {"text": "", "preset": "draft", "seed": 0} | options
        arguments = addon_engine.generate_arguments(["/me.jpg"], tmp_path / "out.head", **settings)
        return addon_engine.EngineRun(str(engine), arguments, tmp_path, tmp_path / "log")

    return run


def test_progress_comes_as_events_and_the_head_is_there(start, tmp_path):
    run = start()
    assert run.wait() == 0 and run.poll() == 0
    events = run.events()
    assert [event["stage"] for event in events] == ["note", "sculpt", "done"]
    assert run.events() == []
    assert (tmp_path / "out.head" / "head.json").is_file()


def test_a_failure_gives_the_engines_own_sentence(start):
    run = start(text="FAIL")
    assert run.wait() == 2
    assert run.reason() == "no face was found in me.jpg: use a sharp photo"


def test_cancel_stops_a_running_engine(start):
    run = start(text="WAIT")
    until = time.monotonic() + 10
    while not run.events() and time.monotonic() < until:
        time.sleep(0.02)
    assert run.poll() is None
    run.cancel()
    assert run.wait() == addon_engine.CANCELLED and run.cancelled


def test_an_interpreter_that_is_not_there(tmp_path):
    with pytest.raises(OSError):
        addon_engine.EngineRun("/nowhere/python", ["generate"], tmp_path, tmp_path / "log")


def test_the_real_engine_is_found_from_anywhere(tmp_path):
    """No installation and no current folder is needed, and nothing is written beside the code."""
    run = addon_engine.EngineRun(sys.executable, ["export"], tmp_path, tmp_path / "log")
    assert run.wait() == 2
    assert "the following arguments are required: NAME.head, --to" in run.reason()


def test_command_line_of_photos_and_of_an_identity_file():
    options = {"text": " -bald ", "preset": "high", "seed": 3}
    photos = addon_engine.generate_arguments(["/a.jpg", "/b.png"], Path("/x.head"), **options)
    assert photos[0] == "generate" and photos[-2:] == ["/a.jpg", "/b.png"]
    assert "--text=-bald" in photos and photos[photos.index("--seed") + 1] == "3"
    identity = addon_engine.generate_arguments(["/me.id"], Path("/x.head"), **options)
    assert identity[-2:] == ["--id", "/me.id"]


def test_the_command_line_is_one_that_the_engine_takes():
    from id3d_engine.cli import build_parser

    arguments = addon_engine.generate_arguments(
        ["/a.jpg"], Path("/x.head"), text="-bald", preset="draft", seed=3
    )
    options = build_parser().parse_args(arguments)
    assert (options.photos, options.text, options.seed, options.progress) == (
        [Path("/a.jpg")], "-bald", 3, "json",
    )  # fmt: skip


def test_progress_for_people():
    event = {"stage": "wrap_template", "step": 3, "steps": 12, "eta_s": 200.0}
    assert addon_engine.describe(event) == (0.25, "Wrap template 3/12, 3 min left")
    assert addon_engine.describe({"stage": "start", "step": 0, "steps": 0}) == (0.0, "Start 0/0")


def test_heads_are_numbered(tmp_path):
    assert addon_engine.next_free(tmp_path, "head").name == "head-001.head"
    (tmp_path / "head-001.head").mkdir()
    assert addon_engine.next_free(tmp_path, "head").name == "head-002.head"


@pytest.mark.slow
def test_doctor_answers(tmp_path):
    report = addon_engine.run_doctor(sys.executable, tmp_path)
    assert {"ok", "version", "checks"} <= report.keys()
