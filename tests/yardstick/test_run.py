"""The whole yardstick on two people, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from id3d_engine.config import settings_of
from id3d_engine.errors import InputError
from id3d_engine.identity import Identity
from id3d_engine.priors.start import start_of
from id3d_engine.template import load_template
from id3d_engine.yardstick.methods import ASKED, SILENT, Methods
from id3d_engine.yardstick.run import run


@pytest.mark.slow
def test_four_people(tmp_path: Path) -> None:
    said: list[str] = []
    report = run(tmp_path, people=4, methods=("average", "start"), say=said.append)
    assert len(said) == 8 and said[0].startswith("average, person 1 of 4: face ")
    summary = report.summary()
    assert summary["start"]["face_over_average"].mean < 1 and summary["start"]["guide_rank1"].mean == 1
    assert json.loads((tmp_path / "report.json").read_text())["settings"]["people"] == 4
    assert (tmp_path / "report.md").read_text().startswith("| figure | average | start |")
    assert 0 < summary["start"]["seconds"].mean < 600 and 0.1 < summary["start"]["peak_gb"].mean < 20
    # What is finished is kept: heads and figures are read again.
    stamp = (tmp_path / "start" / "00.json").stat().st_mtime_ns
    again = run(tmp_path, people=4, methods=("average", "start"))
    assert again.rows == report.rows and (tmp_path / "start" / "00.json").stat().st_mtime_ns == stamp


def test_silenced_branches(tmp_path: Path) -> None:
    from id3d_engine.priors.locate import locate

    methods = Methods("starter", "draft", None, tmp_path)
    whole = load_file(locate("starter") / "albedo.safetensors")
    for name, parts in SILENT.items():
        silent = load_file(methods._altered(name) / "albedo.safetensors")
        for key, value in silent.items():
            named = any(part in key for part in parts)
            assert (not value.any()) if named else np.array_equal(value, whole[key])
    rng = np.random.default_rng(0)
    one, other = (
        start_of(tmp_path / "plain-sds", Identity(rng.normal(size=128)), load_template()).skin
        for _ in range(2)
    )
    assert np.array_equal(one, other)  # it starts from the average head, whoever it is
    alone = methods._altered("alone-no-identity")
    assert not load_file(alone / "start.safetensors")["weights"].any()
    asked = settings_of("draft", alone)
    assert asked.sculpt.guidance == asked.polish.guidance == ASKED["geometry"].guidance
    assert asked.paint.generic == ASKED["albedo"].generic
    silent = load_file(alone / "geometry.safetensors")
    assert {key for key, value in silent.items() if not value.any()} == {
        key for key in silent if any(part in key for part in SILENT["no-identity"])
    }


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown method 'magic': choose average, nearest"):
        run(tmp_path, methods=("magic",))
    with pytest.raises(InputError, match="at least two"):
        run(tmp_path, people=1)
    with pytest.raises(InputError, match=r"take models/faceres\.json"):
        run(tmp_path, judge=tmp_path / "faceres.json")
    with pytest.raises(InputError, match="the methods nearest and ridge need the training data"):
        _ = Methods("starter", "draft", None, tmp_path)._ridge
