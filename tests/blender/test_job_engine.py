"""The real engine as the extension runs it: cancelled within two seconds in every stage, then resumed."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from id3d_engine.head import validate
from id3d_engine.identity import Identity

# As a package without the add-on's own __init__, which needs Blender.
sys.modules["id3d_addon"] = ModuleType("id3d_addon")
sys.modules["id3d_addon"].__path__ = [str(Path(__file__).parents[2] / "blender_addon")]
addon_engine = importlib.import_module("id3d_addon.engine")
job_notes = importlib.import_module("id3d_addon.job_notes")

# The real command with a small draft.
COMMAND = """
import sys, torch
torch.set_num_threads(1)
from id3d_engine import config
from id3d_engine.appearance.settings import PaintConfig
from id3d_engine.cli import main
from id3d_engine.geometry.polish import PolishConfig
from id3d_engine.geometry.psi_g import PsiGConfig
from id3d_engine.geometry.sculpt import SculptConfig
config.PRESETS["draft"] = config.Preset(
    SculptConfig(cell_m=0.016, rounds=3, inner_steps=2, views=1, closeups=1, fit_size=64,
                 denoising_steps=1, net=PsiGConfig(tokens=32, width=32)),
    PolishConfig(rounds=2, inner_steps=1, views=2, fit_size=64, denoising_steps=1),
    PaintConfig(size=128, grid=32, bake_grid=32, rounds=3, views=2, inner_steps=1, denoise_steps=1),
)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_cancelled_in_every_stage_it_is_gone_within_two_seconds_and_goes_on(tiny_prior, tmp_path):
    embedding = 0.13 * np.random.default_rng(0).normal(size=128).astype(np.float32)
    identity = Identity(embedding, "dlib").save(tmp_path / "anna.id")
    out = addon_engine.claim_name(tmp_path, "head")

    def start(resume: bool = True):
        arguments = addon_engine.generate_arguments(
            [str(identity)], out, text="", preset="draft", seed=0, expressions="smile", resume=resume
        )
        command = [sys.executable, "-c", COMMAND, *arguments, "--prior", str(tiny_prior)]
        return addon_engine.EngineRun(command, tmp_path, tmp_path / "log", seen.append)

    def gone_s(run) -> float:
        began = time.monotonic()
        run.cancel()
        run.wait()
        return time.monotonic() - began

    seen: list[dict] = []
    run = start(resume=False)
    time.sleep(0.5)
    took = {"start": gone_s(run)}  # while it still imports
    for stage in ("sculpt", "wrap", "polish", "paint"):
        seen.clear()
        run = start()
        while run.poll() is None and not any(event["stage"] == stage for event in seen):
            time.sleep(0.02)
        assert run.poll() is None, run.reason()
        took[stage] = gone_s(run)
        if stage == "sculpt":
            assert any(event["surface"] for event in seen)
    print({stage: round(seconds, 2) for stage, seconds in took.items()})
    assert max(took.values()) < 2.0, took
    run = start()
    assert run.wait() == 0, run.reason()
    assert validate(out) == [] and not addon_engine.partial(out).exists()


@pytest.mark.slow
def test_a_change_by_text_is_cancelled_and_goes_on_too(tiny_prior, template_head, tmp_path):
    old = template_head.write(tmp_path / "anna.head", preview=False)
    before = (old / "head.json").read_bytes()
    out = addon_engine.claim_name(tmp_path, "anna-edit")
    request = job_notes.Request(str(out), (), "with freckles", target="texture", head=str(old))

    def start(resume: bool) -> addon_engine.EngineRun:
        command = [
            sys.executable,
            "-c",
            COMMAND,
            *request.arguments(resume=resume),
            "--prior",
            str(tiny_prior),
        ]
        return addon_engine.EngineRun(command, tmp_path, tmp_path / "log")

    run, events = start(resume=False), []
    while run.poll() is None and not any(event["stage"] == "paint" for event in events):
        events += run.events()
        time.sleep(0.02)
    assert run.poll() is None, run.reason()
    began = time.monotonic()
    run.cancel()
    run.wait()
    assert time.monotonic() - began < 2.0 and request.resumable()
    run = start(resume=True)
    assert run.wait() == 0, run.reason()
    provenance = json.loads((out / "head.json").read_text())["provenance"]
    assert (provenance["text"], provenance["target"]) == ("with freckles", "texture")
    assert (old / "head.json").read_bytes() == before and not addon_engine.partial(out).exists()
