"""Nobody's teeth are seen through a cheek or a lip, however the jaw moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from id3d_engine.assets.sampler import sample_asset
from id3d_engine.render.cameras import distance_for, orbit
from id3d_engine.render.visibility import visibility
from id3d_engine.rig.units import pose, transfer_units
from id3d_engine.template import HeadTemplate, load_template

SEEDS = (0, 8, 48)  # 16, 58 and 1 years old
VIEWS_DEG = (-40.0, 0.0, 40.0)


@pytest.fixture(scope="module")
def template() -> HeadTemplate:
    return load_template()


def teeth_pixels(template: HeadTemplate, vertices: np.ndarray) -> int:
    """Of pictures from three sides, 320 pixels a side."""
    points = torch.from_numpy(vertices.astype(np.float32))
    target = (0.0, float(points[:, 1].mean()), float(points[:, 2].mean()))
    cameras = orbit(torch.tensor(VIEWS_DEG), 0.0, float(distance_for(20.0, 0.3)), 20.0, target)
    seen = visibility(cameras.clip(points), torch.from_numpy(template.triangles), (320, 320)).numpy()
    teeth = template.regions["teeth"][template.triangles[:, 0]] > 0.5
    return int(teeth[seen[seen >= 0]].sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_teeth_stay_inside(template: HeadTemplate, seed: int) -> None:
    skin = sample_asset(template, seed).skin
    units = transfer_units(template, skin)
    assert teeth_pixels(template, skin) == 0
    for side in ("Left", "Right"):
        sideways = pose(units, {f"jaw{side}": 1.0, f"mouth{side}": 0.35})
        assert teeth_pixels(template, skin + sideways) == 0
    grin = pose(units, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "mouthUpperUpLeft": 1.0})
    assert teeth_pixels(template, skin + grin) > 5
