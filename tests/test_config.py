"""Presets, and what a prior's own advice changes in them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from id3d_engine.config import PRESETS, settings_of
from id3d_engine.errors import InputError


def test_a_prior_without_advice_is_asked_as_the_preset_does(tiny_prior: Path) -> None:
    draft, asked = PRESETS["draft"], settings_of("draft", tiny_prior)
    assert asked == replace(draft, polish=replace(draft.polish, rounds=0))
    assert settings_of("draft").paint != draft.paint  # the shipped ones say how to be asked
    assert settings_of(PRESETS["high"]) is PRESETS["high"]
    with pytest.raises(InputError, match="unknown preset 'best': choose one of draft, standard, high"):
        settings_of("best")


def test_more_rounds_go_no_farther_where_the_prior_is_asked_for_the_person_alone(
    tiny_prior: Path, tmp_path: Path
) -> None:
    def reach(prior: Path, preset: str) -> float:
        sculpt = settings_of(preset, prior).sculpt
        return sculpt.learning_rate * sculpt.rounds

    for preset in ("standard", "high"):
        assert reach(tiny_prior, preset) == pytest.approx(reach(tiny_prior, "draft"))
        assert settings_of(preset, tiny_prior).polish.rounds == 0  # the recipes know expressions better
    folder = tmp_path / "strong"
    shutil.copytree(tiny_prior, folder)
    note = folder / "geometry.json"
    values = json.loads(note.read_text(encoding="utf-8"))
    values["advice"] = {"noise": [0.7, 0.3], "guidance": 1.0, "generic": 1.0}
    note.write_text(json.dumps(values), encoding="utf-8")
    assert reach(folder, "standard") > 2 * reach(folder, "draft")
    # What heads at large are like, such a prior knows better than the recipes.
    assert settings_of("standard", folder).polish.rounds > settings_of("draft", folder).polish.rounds > 0


def test_advice_is_followed_in_every_stage_but_not_over_settings_of_ones_own(
    tiny_prior: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "strong"
    shutil.copytree(tiny_prior, folder)
    for domain, guidance in (("geometry", 3.0), ("albedo", 2.0)):
        note = folder / f"{domain}.json"
        values = json.loads(note.read_text(encoding="utf-8"))
        values["advice"] = {"noise": [0.7, 0.3], "guidance": guidance, "generic": 0.5}
        note.write_text(json.dumps(values), encoding="utf-8")
    asked = settings_of("standard", folder)
    assert (asked.sculpt.guidance, asked.polish.guidance, asked.paint.guidance_scale) == (3.0, 3.0, 2.0)
    assert {asked.sculpt.generic, asked.polish.generic, asked.paint.generic} == {0.5}
    assert (asked.sculpt.noise_level.start, asked.polish.noise_level.end) == (0.7, 0.3)
    assert (asked.paint.timesteps.start, asked.paint.timesteps.end) == (0.7, 0.3)
    assert asked.sculpt.rounds == PRESETS["standard"].sculpt.rounds
    assert settings_of(PRESETS["draft"], folder) is PRESETS["draft"]
