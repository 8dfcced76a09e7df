"""The command line: exit codes, one-sentence errors, and that starting it is quick."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

import id3d_engine
from id3d_engine import cli
from id3d_engine.errors import Cancelled
from id3d_engine.head import Head
from id3d_engine.job import Job


@pytest.fixture
def bundle(small_head: Head, tmp_path: Path) -> Path:
    return small_head.write(tmp_path / "anna.head", preview=False)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        code = int(error.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, time; began = time.process_time()\n"
        "from id3d_engine.cli import build_parser; text = build_parser().format_help()\n"
        "heavy = {'torch', 'numpy', 'PIL', 'bpy', 'dlib'} & set(sys.modules)\n"
        "print(time.process_time() - began, sorted(heavy), 'generate' in text)"
    )
    shortest = min(
        float(subprocess.check_output([sys.executable, "-c", code], text=True).split()[0]) for _ in range(3)
    )
    assert shortest < 0.3
    answer = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert answer.split(maxsplit=1)[1].strip() == "[] True"


def test_as_a_module_and_its_version() -> None:
    answer = subprocess.check_output([sys.executable, "-m", "id3d_engine", "--version"], text=True)
    assert answer.strip() == f"id3d {id3d_engine.__version__}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["generate", "a.jpg"], "the following arguments are required: --out"),
        (["generate", "--out", "a.head"], "give photos of one person, or an identity file with --id"),
        (["generate", "a.jpg", "--id", "a.id", "--out", "a.head"], "and not both"),
        (["generate", "nobody.jpg", "--out", "a.head"], "there is no file nobody.jpg: check the path"),
        (["generate", __file__, "--out", "a"], "end it in .head"),
        (["generate", __file__, "--out", "a.head", "--expressions", "wink"], "unknown expression 'wink'"),
        (["generate", __file__, "--out", "a.head", "--preset", "best"], "invalid choice: 'best'"),
        (["identity", "nobody.jpg", "--out", "a.id"], "there is no file nobody.jpg"),
        (["export", "nobody.head", "--to", "glb"], "is not a head bundle"),
        (["export", "nobody.head", "--to", "stl"], "invalid choice: 'stl'"),
        (["relight", "nobody.head", "--light", "front"], "is not a head bundle"),
        (["dataset", "--out", "d", "--views", "0"], "0 is not a positive number"),
        (["train", "nothing", "--out", "p"], "no shards: run `id3d dataset` first"),
        (["train", "nothing", "--out", "p", "--precision", "int8"], "invalid choice: 'int8'"),
        (["edit", "nobody.head"], "the following arguments are required: --text"),
        (["edit", "nobody.head", "--text", "old"], "is not a head bundle"),
        (["edit", "nobody.head", "--text", "old", "--target", "hair"], "invalid choice: 'hair'"),
        (["edit", "a.head", "--text", "old", "--photo", "no.jpg"], "there is no file no.jpg: check the path"),
        (["edit", "a.head", "--text", "old", "--photo", "no.jpg", "--id", "a.id"], "and not both"),
        (["evaluate", "nobody.head"], "is not a head bundle"),
        (["evaluate", "nobody.head", "--photo", "no.jpg"], "there is no file no.jpg: check the path"),
        (["generate", ".", "--out", "a.head"], ". is a folder: name the photos in it, for example *.jpg"),
        (["generate", __file__, "--out", f"{__file__}/a.head"], "cannot be written (not a directory)"),
        (["generate", __file__, "--out", "a.head", "--blend", "a.txt"], "is no BLEND file name"),
        (["generate", __file__, "--out", "a.head", "--blend", "no/a.blend"], "a folder that exists"),
        (["export", "nobody.head", "--to", "blend", "--out", "x.txt"], "end it in .blend"),
        (["export", "nobody.head", "--to", "obj", "--out", "o.mtl"], "is no OBJ file name: end it in .obj"),
        (["relight", "nobody.head", "--light", "front", "--out", "no/x.png"], "a folder that exists"),
        (["relight", "nobody.head", "--light", "front", "--out", "x.jpg"], "is no PNG file name"),
        (["evaluate", "a.head", "--people", "3"], "not both"),
        (["evaluate", "a.head", "--out", "folder"], "--out is for --people"),
        (["train", "data", "--scans", "scans", "--out", "p"], "not both"),
        (["dataset", "--out", __file__, "--image-size", "15"], "15 is too few pixels: give at least 16"),
    ],
)
def test_bad_usage_is_one_sentence_and_code_2(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert os.listdir(tmp_path) == []


def test_export_glb_and_obj(capsys: pytest.CaptureFixture[str], bundle: Path, tmp_path: Path) -> None:
    code, out, _ = run(capsys, "export", bundle, "--to", "glb")
    assert (code, out.strip()) == (0, str(tmp_path / "anna.glb"))
    assert (tmp_path / "anna.glb").read_bytes()[:4] == b"glTF"
    target = tmp_path / "with_normals.glb"
    run(capsys, "export", bundle, "--to", "glb", "--morph-normals", "--out", target)
    assert target.stat().st_size > (tmp_path / "anna.glb").stat().st_size
    code, out, _ = run(capsys, "export", bundle, "--to", "obj", "--expressions", "smile, jawOpen")
    assert code == 0
    assert [Path(line).name for line in out.splitlines()[:3]] == [
        "anna.obj",
        "anna_smile.obj",
        "anna_jawOpen.obj",
    ]
    run(capsys, "export", bundle, "--to", "obj", "--expressions", "all", "--out", tmp_path / "b.obj")
    assert len(list(tmp_path.glob("b_*.obj"))) == 4


def test_export_refuses_what_it_cannot_do(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    code, _, err = run(capsys, "export", bundle, "--to", "glb", "--expressions", "smile")
    assert (code, "always carries all of them" in err) == (2, True)
    code, _, err = run(capsys, "export", bundle, "--to", "glb", "--out", bundle.parent / "no" / "a.glb")
    assert (code, "give a file name in a folder that exists" in err) == (2, True)
    code, _, err = run(capsys, "export", bundle, "--to", "usd", "--out", bundle.parent / "a.txt")
    assert (code, "is no USD file name" in err) == (2, True)


def test_relight_writes_a_picture(capsys: pytest.CaptureFixture[str], bundle: Path, tmp_path: Path) -> None:
    code, out, _ = run(capsys, "relight", bundle, "--light", "back", "--size", 24, "--expression", "smile")
    assert (code, out.strip()) == (0, str(tmp_path / "anna_back.png"))
    assert (tmp_path / "anna_back.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["export", "--to", "glb"], "anna.glb"),
        (["export", "--to", "obj"], "anna.obj"),
        (["relight", "--light", "back", "--size", 24], "anna_back.png"),
    ],
)
def test_a_full_disk_leaves_what_was_there(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    bundle: Path,
    tmp_path: Path,
    arguments: list,
    name: str,
) -> None:
    def full(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, err = run(capsys, *arguments, bundle)
    assert (code, err) == (
        1,
        "id3d: the disk is full: free some space, then run the same command again\n",
    )
    assert set(os.listdir(tmp_path)) == {"anna.head", name}
    assert (tmp_path / name).read_bytes() == b"old"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = run(capsys, "export", "nobody.head", "--to", "glb")[2]
    loud = run(capsys, "export", "nobody.head", "--to", "glb", "--debug")[2]
    assert "Traceback" not in quiet
    assert "Traceback" in loud and loud.endswith(quiet)


class Recorded(types.ModuleType):
    """Stands where generate.py is, whose work takes minutes: runs a real `Job`, and keeps its arguments."""

    calls: list[tuple[tuple, dict]]

    def __init__(self) -> None:
        super().__init__("id3d_engine.generate")
        self.calls = []

    def generate(self, *arguments: object, **options: object) -> None:
        self.calls.append((arguments, options))
        job = Job(seed=options["seed"], listener=options["listener"], cancel=options["cancel"])
        for _ in job.steps("sculpt", 200 if options["text"] == "slow" else 2):
            time.sleep(0.02 if options["text"] == "slow" else 0)
            if options["text"] == "memory":
                raise MemoryError
            if options["text"] == "full":
                raise OSError(errno.ENOSPC, "No space left on device")
        if options["text"] == "cancelled":
            raise Cancelled("cancelled; run the same command with --resume to go on from here")


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    module = Recorded()
    monkeypatch.setitem(sys.modules, "id3d_engine.generate", module)
    return module


def test_generate_passes_everything_on(
    capsys: pytest.CaptureFixture[str], recorded: Recorded, tmp_path: Path
) -> None:
    out = tmp_path / "b.head"
    code, text, _ = run(
        capsys, "generate", __file__, "--out", out, "--text", "with a beard", "--prior", "folder",
        "--preset", "high", "--expressions", "smile,grin", "--topology", "dmtet", "--device", "cpu",
        "--compile", "--seed", 7, "--resume", "--save-identity", "--progress", "none",
    )  # fmt: skip
    assert code == 0
    assert str(out) in text
    ((arguments, options),) = recorded.calls
    assert arguments == ([Path(__file__)],)
    options.pop("listener"), options.pop("cancel")
    assert options == {
        "identity": None, "out": out, "text": "with a beard", "prior": "folder", "preset": "high",
        "expressions": "smile,grin", "topology": "dmtet", "device": "cpu", "compiled": True, "seed": 7,
        "resume": True, "save_identity": True, "overwrite": False,
    }  # fmt: skip


def test_generate_writes_a_blend_that_can_be_cancelled(
    capsys: pytest.CaptureFixture[str], recorded: Recorded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from id3d_engine.export import through_blender

    written: list[tuple] = []
    monkeypatch.setattr(through_blender, "require_bpy", lambda: None)
    monkeypatch.setattr(through_blender, "write_blend", lambda *arguments: written.append(arguments))
    out, blend = tmp_path / "b.head", tmp_path / "b.blend"
    code, text, _ = run(capsys, "generate", __file__, "--out", out, "--blend", blend, "--progress", "none")
    assert (code, f"{blend} opens in Blender" in text) == (0, True)
    ((_, options),) = recorded.calls
    assert written == [(out, blend, options["cancel"])]


def test_edit_passes_everything_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = []
    module = types.ModuleType("id3d_engine.edit")
    module.edit = lambda *arguments, **options: calls.append((arguments, options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "id3d_engine.edit", module)
    head = tmp_path / "a.head"
    code, text, _ = run(
        capsys, "edit", head, "--text", "with a beard", "--target", "texture", "--photo", __file__,
        "--prior", "folder", "--preset", "high", "--device", "cpu", "--compile", "--seed", 7, "--resume",
        "--overwrite", "--progress", "none",
    )  # fmt: skip
    assert (code, str(tmp_path / "a-edit.head") in text) == (0, True)
    ((arguments, options),) = calls
    assert arguments == (head,)
    options.pop("listener"), options.pop("cancel")
    assert options == {
        "text": "with a beard", "target": "texture", "out": tmp_path / "a-edit.head",
        "photos": [Path(__file__)], "identity": None, "prior": "folder", "preset": "high",
        "device": "cpu", "compiled": True, "seed": 7, "resume": True, "overwrite": True,
    }  # fmt: skip


def test_evaluate_as_text_and_as_json(capsys: pytest.CaptureFixture[str], bundle: Path) -> None:
    code, text, _ = run(capsys, "evaluate", bundle)
    assert (code, text.splitlines()[0].split()[:2]) == (0, ["shape", "key"])
    code, text, _ = run(capsys, "evaluate", bundle, "--json")
    found = json.loads(text)
    assert (code, found["problems"], found["likeness"]) == (0, [], None)
    assert set(found["keys"]) == {"mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen"}
    (bundle / "head.glb").unlink()
    code, text, _ = run(capsys, "evaluate", bundle)
    assert (code, text.splitlines()[0]) == (1, "problem: head.glb is missing.")


def test_dataset_and_train_pass_their_settings_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from id3d_engine.priors.training import dataset, train

    calls: dict[str, tuple] = {}
    monkeypatch.setattr(dataset, "build_dataset", lambda *a, **o: calls.setdefault("dataset", (a, o)) and [])
    monkeypatch.setattr(train, "train", lambda *a, **o: calls.setdefault("train", (a, o)))
    code, _, err = run(
        capsys, "dataset", "--out", tmp_path, "--subjects", 5, "--first-seed", 9, "--views", 2, "--photos", 4,
        "--image-size", 128, "--subjects-per-shard", 10, "--workers", 3,
    )  # fmt: skip
    (out, config), options = calls["dataset"]
    assert (code, out, options["workers"], "0 shard(s)" in err) == (0, tmp_path, 3, True)
    assert config == dataset.DatasetConfig(5, 9, 2, 4, 128, 10)
    code, _, _ = run(
        capsys, "train", tmp_path, "--out", tmp_path / "p", "--base", "user/base", "--steps", 11,
        "--batch", 2, "--vae-steps", 12, "--vae-batch", 3, "--words-steps", 7, "--save-every", 5, "--rank", 6,
        "--precision", "no", "--seed", 8,
    )  # fmt: skip
    (data, out, config), options = calls["train"]
    assert (code, data, out, options["base"]) == (0, str(tmp_path), tmp_path / "p", "user/base")
    assert (config.denoiser.steps, config.denoiser.batch, config.denoiser.save_every) == (11, 2, 5)
    assert (config.vae.steps, config.vae.batch, config.words.steps) == (12, 3, 7)
    assert (config.sizes.rank, config.precision, config.seed) == (6, "no", 8)


def test_a_stopped_training_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from id3d_engine.priors.training import dataset

    def stopped(*_: object, **__: object) -> None:
        raise Cancelled("cancelled; run the same command with --resume to go on from here")

    monkeypatch.setattr(dataset, "build_dataset", stopped)
    code, _, err = run(capsys, "dataset", "--out", tmp_path)
    assert (code, err.strip()) == (130, "id3d: cancelled; run the same command again to go on from here")


def test_the_options_are_those_of_the_function() -> None:
    import inspect

    generate = pytest.importorskip("id3d_engine.generate").generate
    names = set(inspect.signature(generate).parameters)
    assert {
        "photos", "identity", "out", "text", "prior", "preset", "expressions", "topology", "device",
        "seed", "resume", "listener", "cancel", "save_identity", "overwrite",
    } <= names  # fmt: skip


def test_json_progress_is_one_object_a_line(
    capsys: pytest.CaptureFixture[str], recorded: Recorded, tmp_path: Path
) -> None:
    out = tmp_path / "b.head"
    code, text, _ = run(capsys, "generate", __file__, "--out", out, "--progress", "json")
    events = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert all(
        set(event) == {"stage", "step", "steps", "elapsed_s", "eta_s", "message", "preview", "surface"}
        for event in events
    )
    assert [event["stage"] for event in events][-2:] == ["sculpt", "done"]
    assert events[-1]["message"] == str(out)


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("memory", 1, "memory ran out: use --preset draft"),
        ("full", 1, "the disk is full: free some space, then go on with --resume"),
        ("cancelled", 130, "with --resume to go on"),
    ],
)
def test_how_generate_can_end(
    capsys: pytest.CaptureFixture[str],
    recorded: Recorded,
    tmp_path: Path,
    text: str,
    code: int,
    sentence: str,
) -> None:
    found, _, err = run(capsys, "generate", __file__, "--out", tmp_path / "b.head", "--text", text)
    assert found == code
    assert sentence in err.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_cleanly(
    capsys: pytest.CaptureFixture[str], recorded: Recorded, tmp_path: Path, number: signal.Signals
) -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))
    timer.start()
    arguments = ["generate", __file__, "--out", tmp_path / "b.head", "--text", "slow", "--progress", "none"]
    code, _, err = run(capsys, *arguments)
    timer.join()
    assert code == 130
    assert "run the same command with --resume" in err.splitlines()[-1]


def test_an_existing_bundle_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], recorded: Recorded, bundle: Path
) -> None:
    code, _, err = run(capsys, "generate", __file__, "--out", bundle)
    assert (code, "add --overwrite" in err) == (2, True)
    assert recorded.calls == []
    assert run(capsys, "generate", __file__, "--out", bundle, "--overwrite", "--progress", "none")[0] == 0


def test_interrupt_outside_a_job(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, bundle: Path
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Head, "read", interrupted)
    code, _, err = run(capsys, "export", bundle, "--to", "glb")
    assert (code, err.strip()) == (130, "id3d: cancelled")


def test_identity_of_the_example(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    photo = Path(__file__).parent.parent / "examples" / "portrait.jpg"
    code, out, _ = run(capsys, "identity", photo, "--out", tmp_path / "a.id")
    assert (code, "dlib identity from 1 of 1 photo" in out) == (0, True)
    from id3d_engine.identity import Identity

    assert np.isfinite(Identity.load(tmp_path / "a.id").embedding).all()
