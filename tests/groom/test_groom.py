"""Hair as strands: where it is rooted, that it stays out of the head, how long it is, what colour it has."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from id3d_engine.assets.appearance import HAIR_STYLES, AppearanceParameters, style_logits
from id3d_engine.assets.hair import hair_offsets
from id3d_engine.geometry.closest import Target
from id3d_engine.groom import groom
from id3d_engine.strands import BEARD, BROW, LASH, SCALP, Strands, anchors
from id3d_engine.template import load_template

HAIRY = [style for style in HAIR_STYLES if style != "bald"]


def head_of(look: AppearanceParameters) -> np.ndarray:
    template = load_template()
    return template.vertices + hair_offsets(template, template.vertices, look, hanging=False)


@lru_cache(maxsize=32)
def grown(style: str, grey: float = 0.0, seed: int = 0) -> Strands:
    look = AppearanceParameters(style_logits=style_logits(style), hair_grey=grey)
    strands = groom(load_template(), head_of(look), look, seed)
    assert strands is not None
    return strands


def lengths(strands: Strands) -> np.ndarray:
    return np.linalg.norm(np.diff(strands.points[strands.kind == SCALP], axis=1), axis=2).sum(axis=1)


@pytest.mark.parametrize("style", HAIRY)
def test_roots_lie_on_the_head_and_no_point_in_it(style: str) -> None:
    template, strands = load_template(), grown(style)
    vertices = head_of(AppearanceParameters(style_logits=style_logits(style)))
    assert strands.problems() == []
    roots = anchors(strands.root_uv, template.triangles, template.triangle_uv).places(vertices)
    assert np.abs(roots - strands.points[:, 0]).max() < 1e-5
    target = Target((vertices, template.triangles[template.triangles[:, 1] != template.triangles[:, 2]]))
    points = strands.points[::7].reshape(-1, 3).astype(float)
    near = target.closest(points, 0.05)
    inside = ((points - near.points) * near.normals).sum(axis=1) < 0
    assert not (near.found & inside & (near.distance > 0.001)).any()


def test_lengths_follow_the_style() -> None:
    typical = {style: float(np.median(lengths(grown(style)))) for style in HAIRY}
    assert 0.003 < typical["buzz"] < 0.007
    assert 0.015 < typical["short"] < 0.045
    assert typical["receding"] < typical["quiff"] < typical["bob"] < typical["long"]
    chin = load_template().vertices[load_template().landmarks["chin"], 2]
    neck = load_template().vertices[:, 2].min()
    ends = {s: grown(s).points[grown(s).kind == SCALP, -1, 2] for s in ("bob", "long")}
    assert np.median(ends["bob"]) == pytest.approx(chin, abs=0.015)
    assert np.median(ends["long"]) < neck + 0.01


def test_hanging_hair_leaves_the_face_free() -> None:
    template = load_template()
    eye = template.vertices[template.regions["eyeballs"] > 0.5]
    for style in ("bob", "long"):
        points = grown(style).points[grown(style).kind == SCALP].reshape(-1, 3)
        before = points[points[:, 1] < eye[:, 1].min()]
        assert not ((np.abs(before[:, 0]) < eye[:, 0].max()) & (before[:, 2] < eye[:, 2].max())).any()


def test_a_layered_cut_covers_the_ears_and_the_forehead_and_no_more() -> None:
    template = load_template()
    points = grown("layered").points[grown("layered").kind == SCALP].reshape(-1, 3)
    ear = template.vertices[template.regions["ears"] > 0.5]
    eye = template.vertices[template.regions["eyeballs"] > 0.5]
    low, high = ear[:, 2].min(), ear[:, 2].max()
    beside = np.abs(points[:, 0]) > np.median(np.abs(ear[:, 0]))
    assert (beside & (points[:, 2] < (low + high) / 2) & (points[:, 1] > ear[:, 1].min())).sum() > 500
    assert np.quantile(points[:, 2], 0.01) > low - 0.03
    before = (points[:, 1] < eye[:, 1].min()) & (np.abs(points[:, 0]) < eye[:, 0].max())
    assert before.sum() > 1000 and points[before, 2].min() > eye[:, 2].max() - 0.012


def test_the_bald_have_none_and_chance_is_seeded() -> None:
    look = AppearanceParameters(style_logits=style_logits("bald"))
    hair = groom(load_template(), load_template().vertices, look)
    assert hair is None or not (hair.kind == SCALP).any()
    again = groom(load_template(), head_of(AppearanceParameters()), AppearanceParameters())
    assert again is not None
    assert np.array_equal(again.points, grown("short").points)
    assert np.array_equal(again.colour, grown("short").colour)
    assert not np.array_equal(grown("short", seed=1).points[:100], grown("short").points[:100])


def test_more_hairs_are_white_where_hair_is_greyer() -> None:
    hairs = [grown("short", grey) for grey in (0.0, 0.4, 0.9)]
    shares = [float((h.colour[h.kind == SCALP].min(axis=1) > 0.4).mean()) for h in hairs]
    assert shares[0] < 0.02 < shares[1] < shares[2]
    assert shares[2] > 0.8


def test_beards_grow_and_stubble_stays_painted() -> None:
    template = load_template()
    counts = {}
    for name, numbers in {
        "stubble": {"stubble": 1.0},
        "lip": {"moustache": 0.8},
        "full": {"beard": 0.9},
    }.items():
        look = AppearanceParameters(style_logits=style_logits("bald"), **numbers)
        hair = groom(template, head_of(look), look)
        assert hair is not None
        counts[name] = int((hair.kind == BEARD).sum())
        above = (
            hair.points[hair.kind == BEARD][:, 0, 2] > template.vertices[template.landmarks["lower_lip"], 2]
        )
        assert name == "full" or above.all()
    assert counts["stubble"] == 0 < counts["lip"] < counts["full"]


def test_brows_lie_above_the_eyes_and_lashes_on_the_upper_lid() -> None:
    template, hair = load_template(), grown("buzz")
    brow, lash = (hair.points[hair.kind == kind][:, 0] for kind in (BROW, LASH))
    assert len(brow) > 300 and len(lash) > 80
    for roots in (brow, lash):
        assert abs((roots[:, 0] > 0).mean() - 0.5) < 0.1
    assert (brow[:, 2] > template.vertices[template.landmarks["left_upper_lid"], 2] + 0.003).all()
    edge = template.vertices[[template.landmarks["left_upper_lid"], template.landmarks["left_eye_outer"]], 2]
    assert (lash[:, 2] < edge.max() + 0.003).all() and np.median(lash[:, 2]) > edge.min()


def test_roots_follow_the_hairline() -> None:
    low, high = (
        groom(load_template(), head_of(look), look)
        for look in (AppearanceParameters(hairline=line) for line in (0.1, 0.9))
    )
    assert low is not None and high is not None
    front = [
        h.points[
            (h.kind == SCALP) & (np.abs(h.points[:, 0, 0]) < 0.02) & (h.points[:, 0, 1] < -0.05), 0, 2
        ].min()
        for h in (low, high)
    ]
    assert front[0] < front[1] - 0.01
