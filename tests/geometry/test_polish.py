"""Expressions refined by a guide that knows how they should look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from id3d_engine.errors import Cancelled
from id3d_engine.expressions import select
from id3d_engine.geometry.guide import fit_to
from id3d_engine.geometry.polish import PolishConfig, polish_with, still_vertices
from id3d_engine.job import Job
from id3d_engine.render.cameras import orbit
from id3d_engine.render.normals import render_normals
from id3d_engine.rig.units import pose
from id3d_engine.template import load_template

SMALL = PolishConfig(rounds=4, inner_steps=6, views=3, fit_size=64, learning_rate_m=4e-4, reach_m=0.02)
CAST = select("smile,brow_lower")
SIDES = torch.tensor([-25.0, 20.0])


class Oracle:
    """Knows the true offsets and shows them from wherever it is asked."""

    image_size = 64
    fit_size = 64

    def __init__(self, template, neutral, truth):
        self.triangles = torch.from_numpy(template.triangles).long()
        self.heads = {name: torch.from_numpy(neutral + offsets) for name, offsets in truth.items()}
        self.asked = []

    def look(self, render, expression, cameras, step, generator):
        images = render()
        assert images.shape == (len(cameras), 3, 64, 64)
        self.asked.append((expression.name, step, cameras.closeup))
        wanted = render_normals(self.heads[expression.name], self.triangles, cameras, (64, 64))[0]
        return fit_to(images, wanted, 64, 0.0)


@pytest.fixture(scope="module")
def template():
    torch.set_num_threads(1)
    return load_template()


@pytest.fixture(scope="module")
def offsets(template):
    return {e.name: pose(template.arkit, e.recipe) for e in CAST}


@pytest.fixture(scope="module")
def truth(template, offsets):
    """The smile's cheeks stand 4 mm further out; the brows are right already."""
    cheek = np.array([0.045, -0.085, 0.065])
    away = [np.linalg.norm(template.vertices - cheek * [side, 1, 1], axis=1) for side in (-1, 1)]
    bulge = np.exp(-((np.minimum(*away) / 0.02) ** 2)) * template.regions["face"] * ~still_vertices(template)
    bulge = 0.004 * bulge[:, None] * np.array([0, -1.0, 0])
    return {"smile": (offsets["smile"] + bulge).astype(np.float32), "brow_lower": offsets["brow_lower"]}


def run(template, offsets, truth, config=SMALL, job=None, oracle=None, cast=CAST):
    guide = oracle or Oracle(template, template.vertices, truth)
    return polish_with(guide, template.vertices, offsets, template, cast, config, job or Job(seed=2))


@pytest.fixture(scope="module")
def polished(template, offsets, truth):
    return run(template, offsets, truth)


def test_expressions_move_to_what_the_guide_shows(template, offsets, truth, polished):
    changed = np.linalg.norm(truth["smile"] - offsets["smile"], axis=1) > 0.0005

    def shown(found):
        """Mean squared error of normals from two sides, which is what a guide can tell."""
        triangles = torch.from_numpy(template.triangles).long()
        pictures = [
            render_normals(torch.from_numpy(template.vertices + o), triangles, orbit(SIDES), (96, 96))[0]
            for o in (found["smile"], truth["smile"])
        ]
        return float((pictures[0] - pictures[1]).square().mean())

    assert changed.sum() > 100
    assert shown(polished) < 0.75 * shown(offsets)
    before = np.linalg.norm(truth["smile"] - offsets["smile"], axis=1)[changed].mean()
    after = np.linalg.norm(truth["smile"] - polished["smile"], axis=1)[changed].mean()
    assert after < 0.85 * before
    elsewhere = np.linalg.norm(polished["smile"] - offsets["smile"], axis=1)[~changed]
    assert elsewhere.mean() < 0.15e-3


def test_what_is_right_already_hardly_moves(offsets, polished):
    moved = np.linalg.norm(polished["brow_lower"] - offsets["brow_lower"], axis=1)
    assert moved.max() < 0.0005


def test_eyes_mouth_inside_and_all_but_the_face_stay_exactly(template, offsets, polished):
    still = still_vertices(template)
    for name in ("eyeballs", "teeth", "tongue", "mouth_inside", "eye_sockets"):
        assert still[template.regions[name] > 0.5].all(), name
    for name in ("scalp", "ears", "neck"):
        assert still[(template.regions[name] > 0.5) & (template.regions["face"] < 0.3)].all(), name
    assert not still[template.landmarks["nose_tip"]]
    for name, found in polished.items():
        assert np.array_equal(found[still], offsets[name][still])
        assert np.isfinite(found).all() and found.dtype == np.float32
    assert (polished["smile"] != offsets["smile"]).any()


def test_every_expression_is_looked_at_each_round(template, offsets, truth):
    oracle = Oracle(template, template.vertices, truth)
    run(template, offsets, truth, replace(SMALL, rounds=2, inner_steps=1, views=2), oracle=oracle)
    assert [(name, step) for name, step, _ in oracle.asked] == [
        ("smile", 0), ("brow_lower", 0), ("smile", 1), ("brow_lower", 1),
    ]  # fmt: skip
    assert {closeup for _, _, closeup in oracle.asked} == {("face", "mouth")}


def test_nothing_to_do_gives_the_same_offsets(template, offsets, truth):
    for config, cast in ((replace(SMALL, rounds=0), CAST), (SMALL, ())):
        found = run(template, offsets, truth, config, cast=cast)
        assert all(np.array_equal(found[name], offsets[name]) for name in offsets)


def test_a_cancelled_job_goes_on_to_the_same_bytes(template, offsets, truth, tmp_path):
    config = replace(SMALL, rounds=2, inner_steps=2)
    whole = run(template, offsets, truth, config)
    job = Job(tmp_path, seed=2)

    class Interrupting(Oracle):
        def look(self, *arguments):
            if len(self.asked) == 2:
                job.cancel.set()
            return super().look(*arguments)

    with pytest.raises(Cancelled):
        run(template, offsets, truth, config, job, Interrupting(template, template.vertices, truth))
    resumed = run(template, offsets, truth, config, Job(tmp_path, seed=2))
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)
