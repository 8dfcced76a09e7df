"""The extension's view of the engine's process; no Blender needed."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

# As a package without the add-on's own __init__, which needs Blender.
sys.modules["id3d_addon"] = ModuleType("id3d_addon")
sys.modules["id3d_addon"].__path__ = [str(Path(__file__).parents[2] / "blender_addon")]
addon_engine = importlib.import_module("id3d_addon.engine")
job_notes = importlib.import_module("id3d_addon.job_notes")


@pytest.fixture
def start(engine, tmp_path):
    def run(**options):
        settings = {"text": "", "preset": "draft", "seed": 0} | options
        arguments = addon_engine.generate_arguments(["/me.jpg"], tmp_path / "out.head", **settings)
        command = [str(engine), "-m", "id3d_engine", *arguments]
        return addon_engine.EngineRun(command, tmp_path, tmp_path / "log")

    return run


def wait_for_stage(run, stage: str) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if any(event["stage"] == stage for event in run.events()):
            return
        time.sleep(0.02)
    raise AssertionError(f"{stage} was never reached: {run.reason()}")


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
    assert run.sentence() == "No face was found in me.jpg: use a sharp photo"


def test_addresses_and_paths_get_no_capital_letter(tmp_path):
    code = "raise SystemExit('id3d: http://127.0.0.1:9 does not answer')"
    run = addon_engine.EngineRun([sys.executable, "-c", code], tmp_path, tmp_path / "log")
    assert run.wait() == 1
    assert run.sentence() == "http://127.0.0.1:9 does not answer"


def test_cancel_stops_a_running_engine(start):
    run = start(text="WAIT")
    wait_for_stage(run, "sculpt")
    assert run.poll() is None
    run.cancel()
    assert run.wait() == addon_engine.CANCELLED and run.cancelled


def test_cancel_ends_an_engine_that_does_not_listen(start):
    run = start(text="DEAF")
    wait_for_stage(run, "sculpt")
    began = time.monotonic()
    run.cancel()
    assert time.monotonic() - began < 0.1
    assert run.wait() != 0
    assert time.monotonic() - began < 2.0


def test_an_engine_that_is_killed_says_what_to_do(start):
    run = start(text="WAIT")
    wait_for_stage(run, "sculpt")
    os.kill(run._process.pid, signal.SIGKILL)
    began = time.monotonic()
    while run.poll() is None:
        time.sleep(0.02)
    assert time.monotonic() - began < 2.0
    assert "close other programs, then press Resume" in run.reason()


def test_the_engine_ends_with_the_program_that_started_it(engine, tmp_path):
    program = f"""
import os, sys
sys.modules["id3d_addon"] = type(sys)("id3d_addon")
sys.modules["id3d_addon"].__path__ = [{sys.modules["id3d_addon"].__path__[0]!r}]
from pathlib import Path
from id3d_addon import engine
arguments = engine.generate_arguments(["/me.jpg"], Path("out.head"), text="WAIT", preset="draft", seed=0)
command = [{str(engine)!r}, "-m", "id3d_engine", *arguments]
run = engine.EngineRun(command, Path({str(tmp_path)!r}), Path("log"))
while not any(event["stage"] == "sculpt" for event in run.events()):
    pass
print(run._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == -9, done.stderr
    child, until = int(done.stdout), time.monotonic() + 5
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    """Not ended, and no zombie that waits for somebody to ask."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_an_interpreter_that_is_not_there(tmp_path):
    with pytest.raises(OSError):
        addon_engine.EngineRun(["/nowhere/python", "generate"], tmp_path, tmp_path / "log")


def test_the_real_engine_is_found_from_anywhere(tmp_path):
    """No installation and no current folder is needed, and nothing is written beside the code."""
    command = [sys.executable, "-m", "id3d_engine", "export"]
    run = addon_engine.EngineRun(command, tmp_path, tmp_path / "log")
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
        ["/a.jpg"],
        Path("/x.head"),
        text="-bald",
        preset="draft",
        seed=3,
        expressions="smile,grin",
        resume=True,
    )
    options = build_parser().parse_args(arguments)
    assert (options.photos, options.text, options.seed, options.progress) == (
        [Path("/a.jpg")], "-bald", 3, "json",
    )  # fmt: skip
    assert options.expressions == "smile,grin" and options.resume


def test_a_change_of_a_head_is_a_command_line_too():
    from id3d_engine.cli import build_parser

    settings = {"text": "-bald", "preset": "high", "seed": 3, "target": "texture", "head": "/anna.head"}
    for photos, given in ((("/a.jpg", "/b.jpg"), "photo"), (("/me.id",), "id"), ((), "")):
        request = job_notes.Request("/x.head", photos, **settings)
        options = build_parser().parse_args([*request.arguments(resume=True), "--device", "cpu"])
        assert (options.head, options.out) == (Path("/anna.head"), Path("/x.head"))
        assert (options.text, options.target, options.preset, options.seed) == ("-bald", "texture", "high", 3)
        assert options.resume and options.progress == "json"
        found = {"photo": options.photo or [], "id": [options.id] if options.id else []}
        wanted = {"photo": [], "id": []} | ({given: [Path(path) for path in photos]} if given else {})
        assert found == wanted


def test_progress_for_people():
    event = {"stage": "wrap_template", "step": 3, "steps": 12, "eta_s": 200.0}
    assert addon_engine.describe(event) == (0.25, "Wrap template 3/12, 3 min left")
    assert addon_engine.describe({"stage": "start", "step": 0, "steps": 0}) == (0.0, "Start 0/0")


def test_stages_have_names_for_people():
    assert addon_engine.describe({"stage": "paint", "step": 1, "steps": 2}) == (0.5, "3 of 3: Skin 1/2")


def test_a_name_belongs_to_who_claimed_it_first(tmp_path):
    assert addon_engine.claim_name(tmp_path, "head").name == "head-001.head"
    assert addon_engine.claim_name(tmp_path, "head").name == "head-002.head"
    (tmp_path / "head-003.head").mkdir()
    assert addon_engine.claim_name(tmp_path, "head").name == "head-004.head"
    names = []
    threads = [
        threading.Thread(target=lambda: names.append(addon_engine.claim_name(tmp_path, "anna")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 8


def test_no_name_where_the_folder_is_a_file(tmp_path):
    (tmp_path / "heads").touch()
    with pytest.raises(FileExistsError):
        addon_engine.claim_name(tmp_path / "heads", "head")
    assert addon_engine.claim_name(tmp_path / "new" / "heads", "head").parent == tmp_path / "new" / "heads"


@pytest.mark.parametrize("begun", ["request.json", "job.json"])
def test_a_stopped_job_is_offered_until_it_is_discarded_or_done(tmp_path, begun):
    notes = job_notes.Notes(tmp_path)
    out = addon_engine.claim_name(tmp_path, "head")
    request = job_notes.Request(str(out), ("/me.jpg",), "bald", "high", "smile,grin", 3)
    notes.write(request)
    assert notes.read(out) == request and request.name == "head-001"
    assert notes.unfinished() == []  # the engine never began
    (addon_engine.partial(out) / begun).touch()
    assert notes.unfinished() == [request]
    assert "--resume" in request.arguments(resume=True)
    held = notes.lock(request)
    assert notes.unfinished() == []  # somebody is at it
    with pytest.raises(job_notes.Busy):
        notes.lock(request)
    held.release()
    notes.discard(request)
    assert notes.unfinished() == [] and notes.read(out) is None
    assert not addon_engine.partial(out).exists()


def test_a_job_that_never_began_leaves_nothing(tmp_path):
    notes = job_notes.Notes(tmp_path / "jobs")
    notes.folder.mkdir()
    request = job_notes.Request(str(addon_engine.claim_name(tmp_path, "head")), ("/me.jpg",))
    notes.write(request)
    notes.let_go(request)
    assert list(tmp_path.rglob("*")) == [notes.folder]


def test_a_python_without_the_engine_says_what_it_lacks(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho a warning >&2\necho No module named numpy >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(OSError, match=r"^No module named numpy$"):
        addon_engine.run_doctor(str(python), tmp_path)


@pytest.mark.slow
def test_doctor_answers(tmp_path):
    report = addon_engine.run_doctor(sys.executable, tmp_path)
    assert {"ok", "version", "checks"} <= report.keys()
