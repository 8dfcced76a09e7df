"""Errors as sentences, signals as cancel, progress as bar, lines or JSON."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from id3d_engine.console import STOP_AT_END_OF_INPUT, cancel_on_signal, explain
from id3d_engine.device import pick
from id3d_engine.errors import InputError, OutOfMemory
from id3d_engine.job import Progress, silent
from id3d_engine.progress_bar import Bar, JsonLines, Lines, bar_text, duration, listener_for


def test_our_own_errors_pass_through() -> None:
    error = InputError("no photo was given")
    assert explain(error) is error


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."), "the GPU's memory"),
    ],
)
def test_memory_names_the_setting(error: BaseException, where: str) -> None:
    answer = explain(error)
    assert isinstance(answer, OutOfMemory)
    assert str(answer).startswith(f"{where} ran out: use --preset draft")


def test_a_full_disk_says_so_however_deep_it_lies() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = InputError("a.head cannot be written")
    wrapped.__cause__ = full
    tensors = type("SafetensorError", (Exception,), {})("I/O error: No space left on device (os error 28)")
    for error in (full, wrapped, tensors):
        said = "the disk is full: free some space, then run the same command again"
        assert str(explain(error)) == said
        assert str(explain(error, resumes=True)) == said.replace(
            "run the same command again", "go on with --resume"
        )


def test_other_errors_become_one_sentence() -> None:
    assert str(explain(OSError(errno.EACCES, "Permission denied", "/x"))) == "/x: permission denied"
    answer = explain(ZeroDivisionError("two\nlines"))
    assert str(answer) == "unexpected ZeroDivisionError: two lines; run again with --debug to see where"
    assert answer.exit_code == 1


def test_a_signal_sets_the_event_and_handlers_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    with cancel_on_signal() as cancel:
        assert not cancel.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(2)
    assert signal.getsignal(signal.SIGINT) is before
    assert "stopping after this step" in capsys.readouterr().err


def test_a_second_signal_kills() -> None:
    code = (
        "import os, signal, time\n"
        "from id3d_engine.console import cancel_on_signal\n"
        "with cancel_on_signal():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(5)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=False)
    assert done.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("sys.exit(0 if cancel.wait(20) else 1)", 0),  # it stops politely
        ("console._GRACE_S = 0.1; time.sleep(20)", 130),  # it does not look up from its work
    ],
)
def test_the_end_of_input_stops_a_program_that_was_started_so(work: str, code: int) -> None:
    lines = f"""
import sys, time
from id3d_engine import console
with console.cancel_on_signal() as cancel:
    print("ready", sys.stdin.read(), flush=True)
    {work}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", lines],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {STOP_AT_END_OF_INPUT: "1"},
    )
    assert process.stdin is not None and process.stdout is not None
    # Whatever reads standard input meanwhile finds nothing there.
    assert process.stdout.readline().strip() == "ready"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(20) == code


def test_another_thread_gets_an_event_without_handlers() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with cancel_on_signal() as cancel:
            seen.append(cancel.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
    assert signal.getsignal(signal.SIGINT) is before


HALF = Progress("sculpt", 50, 100, 12.34567, 12.5, "smile")
DONE = Progress("sculpt", 100, 100, 24.0, 0.0)
NOTE = Progress("note", 0, 0, 0.0, 0.0, "two faces: the larger one was taken")


def test_json_lines_carry_every_field() -> None:
    stream = io.StringIO()
    for progress in (HALF, NOTE):
        JsonLines(stream)(progress)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {
        "stage": "sculpt", "step": 50, "steps": 100, "elapsed_s": 12.346, "eta_s": 12.5,
        "message": "smile", "preview": "", "surface": "",
    }  # fmt: skip
    assert second["message"] == NOTE.message


def test_lines_are_one_a_stage() -> None:
    stream = io.StringIO()
    told = Lines(stream)
    for progress in (HALF, NOTE, DONE, replace(DONE, preview="last.png")):
        told(progress)
    assert stream.getvalue().splitlines() == [NOTE.message, "sculpt: 100 steps in 24 s"]


def test_the_bar_is_redrawn_in_place() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    for progress in (HALF, NOTE, DONE, replace(DONE, preview="last.png")):
        bar(progress)
    assert stream.getvalue().count("\n") == 2
    assert bar_text(HALF) == "sculpt       [############------------] 50/100  12 s left  smile"
    assert bar_text(DONE) == "sculpt       [########################] 100/100  24 s"


def test_the_listener_of_each_mode() -> None:
    assert isinstance(listener_for("json"), JsonLines)
    assert isinstance(listener_for("auto", io.StringIO()), Lines)
    assert listener_for("none") is silent


def test_durations() -> None:
    assert [duration(s) for s in (0.44, 12, 200, 3900)] == ["0.4 s", "12 s", "3 min 20 s", "1 h 05 min"]


def test_devices() -> None:
    import torch

    assert pick("cpu").type == "cpu"
    assert pick("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InputError, match="unknown device 'tpu': choose one of auto, cpu, cuda"):
        pick("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="torch finds no CUDA device: use --device cpu"):
            pick("cuda")
