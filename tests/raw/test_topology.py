"""The raw surface as a head's mesh."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.appearance.maps import Maps
from id3d_engine.expressions import ARKIT_NAMES, NEUTRAL
from id3d_engine.geometry.fields import PosedHead
from id3d_engine.geometry.psi_g import PsiGConfig
from id3d_engine.geometry.sculpt import SculptConfig, Surfaces
from id3d_engine.head import Head
from id3d_engine.job import Job
from id3d_engine.raw.topology import RawHead, raw_topology
from id3d_engine.template import EYE, MOUTH, SKIN, load_template

pytest.importorskip("xatlas")
CONFIG = SculptConfig(cell_m=0.02, net=PsiGConfig(tokens=32, width=32, reach_m=0.02))
SKIN_COLOUR = (0.7, 0.5, 0.4)


@pytest.fixture(scope="module")
def raw() -> tuple[RawHead, tuple]:
    template = load_template()
    start = PosedHead(template.vertices, {}, template.triangles, template)
    surface = Surfaces.begin(start, (NEUTRAL,), CONFIG, Job(), "cpu").extract(0)
    flat = np.full((64, 64), 0.5, np.float32)
    maps = Maps(
        np.tile(np.array(SKIN_COLOUR, np.float32), (64, 64, 1)),
        flat,
        flat,
        np.tile(np.array((0.5, 0.5, 1.0), np.float32), (64, 64, 1)),
    )
    return raw_topology(surface, template, template.vertices, template.arkit, maps), surface


def test_it_makes_a_valid_head_of_the_same_surface(raw):
    found, (vertices, triangles) = raw
    head = Head(
        found.vertices,
        found.faces,
        found.uv,
        found.part,
        np.stack([found.offsets[name] for name in ARKIT_NAMES]),
        ARKIT_NAMES,
        {"albedo": found.maps.albedo_srgb, "normal": found.maps.normal},
    )
    assert head.problems() == []
    assert np.array_equal(found.vertices, vertices)
    assert np.array_equal(found.faces[:, :3], triangles)
    assert np.array_equal(found.faces[:, 3], triangles[:, 2])
    assert list(found.offsets) == list(load_template().arkit)


def test_keys_move_what_the_template_moves(raw):
    found, _ = raw
    template = load_template()
    chin, nose = (template.vertices[template.landmarks[k]] for k in ("chin", "nose_tip"))
    for place, name in ((chin, "jawOpen"), (nose, "jawOpen"), (chin, "jawLeft")):
        near = np.linalg.norm(found.vertices - place, axis=1).argmin()
        there = np.linalg.norm(template.vertices - found.vertices[near], axis=1).argmin()
        assert np.linalg.norm(found.offsets[name][near] - template.arkit[name][there]) < 6e-3, name
    right = found.vertices[:, 0] < -0.02
    assert np.abs(found.offsets["mouthSmileLeft"][right]).max() < 1e-3


def test_a_flat_map_stays_flat(raw):
    maps = raw[0].maps
    assert np.allclose(maps.albedo_srgb, SKIN_COLOUR, atol=1e-5)
    assert np.allclose(maps.normal, (0.5, 0.5, 1.0), atol=1e-3)


@pytest.mark.parametrize(("part", "region"), [(EYE, "eyeballs"), (MOUTH, "mouth_inside")])
def test_parts_lie_where_the_template_has_them(raw, part, region):
    found, _ = raw
    middle = found.vertices[found.faces[:, :3]].mean(axis=1)[found.part == part]
    there = load_template().vertices[load_template().regions[region] > 0.5]
    assert ((middle > there.min(axis=0) - 0.01) & (middle < there.max(axis=0) + 0.01)).all()
    assert (found.part == SKIN).mean() > 0.8
