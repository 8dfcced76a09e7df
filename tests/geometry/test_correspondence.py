"""Which point of the template a free surface's vertices are."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.errors import InputError
from id3d_engine.geometry.closest import vertex_normals
from id3d_engine.geometry.correspondence import Calm, Outside, correspond, edges, nearest_weights
from id3d_engine.template import load_template

SCALP_M = 0.03


@pytest.fixture(scope="module")
def target() -> Outside:
    template = load_template()
    return Outside(template, template.vertices)


@pytest.fixture(scope="module")
def skin(target):
    """The head's outside as a surface of its own: other triangle order, only vertices in use."""
    order = np.random.default_rng(1).permutation(len(target.index))
    triangles = target.triangles[target.index[order]]
    used, flat = np.unique(triangles, return_inverse=True)
    return target.vertices[used], flat.reshape(-1, 3), used


def test_the_template_itself_is_found_at_its_own_vertices(target, skin):
    vertices, triangles, used = skin
    template = target.template
    match = correspond((vertices, triangles), target, template.arkit)
    assert np.percentile(np.linalg.norm(match.points - vertices, axis=1), 98) < 1e-3
    assert np.allclose(match.weights.sum(axis=1), 1, atol=1e-9)
    for name in ("jawOpen", "browInnerUp", "mouthSmileLeft"):
        error = np.linalg.norm(
            match.carry(template.arkit[name], target.triangles) - template.arkit[name][used], axis=1
        )
        assert np.median(error) < 1e-6
        assert (error > 2e-3).mean() < 0.02, name


def test_lips_are_not_glued_to_the_wrong_side(target, skin):
    """Vertices moved by less than lips are thick still move with their own lip."""
    vertices, triangles, used = skin
    noise = np.random.default_rng(2).normal(size=vertices.shape) * 2e-4
    jaw = target.template.arkit["jawOpen"]
    match = correspond((vertices + noise, triangles), target, {"jawOpen": jaw})
    lips = target.template.regions["lips"][used] > 0.5
    error = np.linalg.norm(match.carry(jaw, target.triangles) - jaw[used], axis=1)
    assert lips.sum() > 50
    assert (error[lips] > 5e-3).mean() < 0.05


def test_high_hair_is_continued_without_tears(target, skin):
    vertices, triangles, used = skin
    scalp = target.template.regions["scalp"][used][:, None]
    lifted = vertices + SCALP_M * scalp * vertex_normals(vertices, triangles)
    match = correspond((lifted, triangles), target, {})
    top = scalp[:, 0] > 0.9
    assert match.trust[top].mean() < 0.1
    assert match.trust[scalp[:, 0] == 0].mean() > 0.9
    found = match.carry(target.template.regions["scalp"][:, None], target.triangles)[:, 0]
    assert found[top].mean() > 0.8
    i, j = edges(triangles).T
    apart = np.linalg.norm(match.points[i] - match.points[j], axis=1)
    length = np.linalg.norm(lifted[i] - lifted[j], axis=1)
    # Hair beside an ear does jump: from the skull to the ear that it hides.
    ears = target.vertices[target.template.regions["ears"] > 0.5, 2].max()
    above = top & (vertices[:, 2] > ears + 0.02)
    assert above.sum() > 100
    assert (apart - length)[above[i] & above[j]].max() < 0.005


def test_the_same_surface_gives_the_same_bytes(target, skin):
    one, other = (correspond(skin[:2], target, target.template.arkit) for _ in range(2))
    assert one.points.tobytes() == other.points.tobytes()
    assert one.triangle.tobytes() == other.triangle.tobytes()


def test_an_unusable_surface_is_refused(target, skin):
    with pytest.raises(InputError, match="the surface to wrap is empty or not finite"):
        correspond((skin[0], skin[1][:0]), target, {})


def test_nearest_weights_agree_with_dense_sampling():
    random = np.random.default_rng(4)
    points, corners = random.normal(size=(40, 3)), random.normal(size=(40, 3, 3))
    weights = nearest_weights(points, corners)
    assert weights.min() >= -1e-12
    s, t = np.meshgrid(np.linspace(0, 1, 121), np.linspace(0, 1, 121))
    grid = np.stack([1 - s - t, s, t], -1)[s + t <= 1]
    dense = np.linalg.norm(np.einsum("gk,pkc->pgc", grid, corners) - points[:, None], axis=2).min(axis=1)
    found = np.linalg.norm(np.einsum("pk,pkc->pc", weights, corners) - points, axis=1)
    assert (found <= dense + 1e-12).all()
    assert (dense - found).max() < 2e-3


def strip(count: int = 12):
    """A ribbon of squares of 1 cm along x."""
    x = np.repeat(np.arange(count), 2) * 0.01
    vertices = np.stack([x, np.tile([0.0, 0.01], count), np.zeros(2 * count)], axis=1)
    k = 2 * np.arange(count - 1)
    triangles = np.concatenate([np.stack([k, k + 2, k + 3], 1), np.stack([k, k + 3, k + 1], 1)])
    return vertices, triangles


def test_calm_spreads_jumps_and_leaves_the_rest():
    vertices, triangles = strip()
    offsets = np.zeros_like(vertices)
    gentle = offsets.copy()
    gentle[:, 2] = vertices[:, 0] * 0.5
    offsets[12:, 2] = 0.05
    loose = Calm((vertices, triangles), np.zeros(len(vertices), bool))
    after = loose(offsets)
    assert np.array_equal(loose(gentle), gentle)
    assert np.abs(np.diff(after[::2, 2])).max() < 0.04
    assert np.array_equal(after[:6], offsets[:6])
    assert np.array_equal(after[-6:], offsets[-6:])


def test_still_vertices_keep_their_offsets():
    vertices, triangles = strip()
    offsets = np.zeros_like(vertices)
    offsets[12:, 2] = 0.05
    still = np.arange(len(vertices)) >= 12
    after = Calm((vertices, triangles), still)(offsets)
    assert np.array_equal(after[still], offsets[still])
    assert after[:12, 2].max() > 0.005
