"""The loop with an oracle in the prior's place: its targets are renders of another head it knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from id3d_engine.blender_scene.bundle import read_safetensors
from id3d_engine.errors import Cancelled, InputError
from id3d_engine.expressions import EXPRESSIONS, NEUTRAL
from id3d_engine.geometry.fields import PosedHead
from id3d_engine.geometry.guide import fit_to
from id3d_engine.geometry.psi_g import PsiGConfig
from id3d_engine.geometry.sculpt import (
    SculptConfig,
    Sculpture,
    choose,
    round_cameras,
    sculpt_with,
    without_crumbs,
)
from id3d_engine.geometry.sdf import Solid
from id3d_engine.job import Job
from id3d_engine.live import coarser
from id3d_engine.render.normals import render_normals
from id3d_engine.rig.units import pose
from id3d_engine.template import load_template

SMALL = SculptConfig(
    cell_m=0.016,
    rounds=6,
    inner_steps=4,
    views=3,
    closeups=1,
    neutral_share=1,
    net=PsiGConfig(tokens=32, width=32, reach_m=0.02),
)
STRETCH = next(e for e in EXPRESSIONS if e.name == "mouth_stretch")


class Oracle:
    """Knows one head and shows it from wherever it is asked."""

    image_size = 64
    fit_size = 64

    def __init__(self, heads, triangles):
        self.heads, self.triangles = heads, torch.from_numpy(triangles).long()
        self.asked: list[str] = []

    def look(self, render, expression, cameras, step, generator):
        images = render()
        assert images.shape[1:] == (3, 64, 64)
        self.asked.append(expression.name)
        head = torch.from_numpy(self.heads[expression.name])
        return fit_to(images, render_normals(head, self.triangles, cameras, (64, 64))[0], 64, 0.5)


@pytest.fixture(scope="module")
def start() -> PosedHead:
    template = load_template()
    offsets = {"mouth_stretch": pose(template.arkit, STRETCH.recipe)}
    return PosedHead(template.vertices, offsets, template.triangles, template)


@pytest.fixture(scope="module")
def untouched(start) -> Sculpture:
    """The sculpture after no rounds."""
    return run(None, start, replace(SMALL, rounds=0))


@pytest.fixture
def oracle(start) -> Oracle:
    """A broader, flatter head than the start."""
    wide = start.neutral * np.array([1.2, 0.9, 1.0], np.float32)
    heads = {"neutral": wide, "mouth_stretch": wide + start.offsets["mouth_stretch"]}
    return Oracle(heads, start.triangles)


def error_m(surface, head, triangles) -> float:
    vertices, faces = surface
    middle = vertices[faces].mean(axis=1).astype(np.float64)
    return float(Solid(head, triangles).distance(middle, 0.05).mean())


def run(oracle, start, config=SMALL, job=None):
    return sculpt_with(oracle, start, [STRETCH], config, job or Job())


def same(one, other) -> bool:
    return all(
        np.array_equal(a, b)
        for name in one.surfaces
        for a, b in zip(one.surfaces[name], other.surfaces[name], strict=True)
    )


def test_without_rounds_the_start_comes_back(untouched, start):
    assert list(untouched.surfaces) == ["neutral", "mouth_stretch"]
    for name, surface in untouched.surfaces.items():
        assert error_m(surface, start.vertices(name), start.triangles) < 0.0008
        assert surface[0].dtype == np.float32
        assert surface[1].dtype == np.int32


def test_the_surface_moves_to_what_the_guide_shows(oracle, start, untouched):
    config = replace(SMALL, rounds=4, inner_steps=5, views=3, closeups=0, learning_rate=5e-3)
    after = sculpt_with(oracle, start, [], config, Job())
    first, last = (
        error_m(s.surfaces["neutral"], oracle.heads["neutral"], start.triangles) for s in (untouched, after)
    )
    assert last < 0.75 * first, (first, last)


@pytest.mark.slow
def test_every_expression_moves_to_what_the_guide_shows(oracle, start):
    config = replace(SMALL, cell_m=0.009, rounds=24, inner_steps=6)
    before, after = run(oracle, start, replace(config, rounds=0)), run(oracle, start, config)
    assert set(oracle.asked) == {"neutral", "mouth_stretch"}
    for name, head in oracle.heads.items():
        first, last = (error_m(s.surfaces[name], head, start.triangles) for s in (before, after))
        assert last < 0.5 * first, (name, first, last)


def test_a_cancelled_job_goes_on_to_the_same_bytes(oracle, start, tmp_path):
    config = replace(SMALL, rounds=2, inner_steps=1)
    whole = run(oracle, start, config, Job(seed=5))

    class Interrupting(Oracle):
        def look(self, *arguments):
            if not self.asked:
                job.cancel.set()
            return super().look(*arguments)

    job = Job(tmp_path, seed=5)
    with pytest.raises(Cancelled):
        run(Interrupting(oracle.heads, start.triangles), start, config, job)
    resumed = run(oracle, start, config, Job(tmp_path, seed=5))
    assert same(whole, resumed)
    assert not same(whole, run(oracle, start, config, Job(seed=6)))


def test_whoever_listens_sees_the_head_grow_and_changes_nothing(oracle, start, tmp_path):
    heard, config = [], replace(SMALL, rounds=2, inner_steps=1)
    run(oracle, start, config, Job(tmp_path / "alone"))
    assert not (tmp_path / "alone" / "preview.png").exists()
    followed = run(oracle, start, config, Job(tmp_path / "followed", listener=heard.append))
    assert same(followed, run(oracle, start, config, Job()))
    shown = [progress for progress in heard if progress.surface]
    assert len(shown) >= 2 and shown[0].stage == "sculpt"
    assert Path(shown[-1].preview).read_bytes().startswith(b"\x89PNG")
    # Blender reads it without safetensors, and finds the finished neutral there.
    arrays, _ = read_safetensors(Path(shown[-1].surface))
    vertices, triangles = followed.surfaces["neutral"]
    assert np.array_equal(arrays["vertices"], vertices) and np.array_equal(arrays["triangles"], triangles)


def test_a_preview_is_no_finer_than_asked(start):
    vertices, triangles = coarser(start.neutral, start.triangles, 2000)
    assert 1000 < len(vertices) <= 2000 and triangles.max() < len(vertices)
    assert np.allclose(np.ptp(vertices, axis=0), np.ptp(start.neutral, axis=0), atol=0.01)
    corners = np.sort(triangles, axis=1)
    assert (np.diff(corners, axis=1) > 0).all() and len(np.unique(corners, axis=0)) == len(corners)
    whole, small = (
        trimesh.Trimesh(v, t) for v, t in ((start.neutral, start.triangles), (vertices, triangles))
    )
    assert small.volume == pytest.approx(whole.volume, rel=0.05)  # it still faces outwards
    turns = np.cos(small.face_adjacency_angles)
    assert (turns < -0.2).mean() < 0.028  # and is hardly folded: 0.03 without smoothing
    assert coarser(start.neutral, start.triangles, 10**6)[0] is start.neutral


def test_a_preview_that_cannot_be_written_stops_nothing(oracle, start, tmp_path):
    job = Job(tmp_path / "work", listener=lambda progress: None)
    job.folder = tmp_path / "gone"
    run(oracle, start, replace(SMALL, rounds=0), job)


def test_every_expression_has_its_turn_and_the_neutral_more():
    job = Job(seed=3)
    turns = [choose(step, 4, 3, job) for step in range(12)]
    assert sorted(turns[:6]) == sorted(turns[6:]) == [0, 0, 0, 1, 2, 3]
    assert turns[:6] != turns[6:]
    assert [choose(step, 1, 3, job) for step in range(3)] == [0, 0, 0]


def test_cameras_hold_whole_views_and_close_ups(start):
    cameras = round_cameras(SMALL, start.landmarks("neutral"), Job().generator("c", 0))
    assert len(cameras) == 4
    assert cameras.closeup[:3] == ("", "", "")
    assert cameras.closeup[3] in ("face", "mouth", "eyes")


def test_crumbs_are_dropped():
    fan = np.array([[0, k, k + 1] for k in range(1, 300)])
    crumb = np.array([[400, 401, 402]])
    vertices = np.random.default_rng(0).normal(size=(403, 3)).astype(np.float32)
    kept, triangles = without_crumbs(vertices, np.concatenate([fan, crumb]))
    assert np.array_equal(kept, vertices[:301])
    assert np.array_equal(triangles, fan)


def test_unusable_requests_are_refused(oracle, start):
    smile = next(e for e in EXPRESSIONS if e.name == "smile")
    with pytest.raises(InputError, match="start head has no expression 'smile'"):
        sculpt_with(oracle, start, [NEUTRAL, smile], SMALL, Job())
    with pytest.raises(InputError, match="at least one view"):
        round_cameras(replace(SMALL, views=0, closeups=0), {}, Job().generator("c", 0))
