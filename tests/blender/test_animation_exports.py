"""Names, shapes and the animation of a head after Blender's own exporters and importers.

What users need to know: FBX keeps the animation of shape keys only with "NLA Strips" and "All Actions"
off, and without animation it keeps the sliders where they stand; glTF and USD need no setting.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from id3d_engine.expressions import ARKIT_NAMES, EXPRESSION_NAMES

NAMES = [*EXPRESSION_NAMES, *ARKIT_NAMES]
TOLERANCE_M = 1e-4


@pytest.fixture(scope="module")
def facts(drive, tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("exports")
    names = ",".join(EXPRESSION_NAMES), ",".join(ARKIT_NAMES)
    return json.loads(drive("drive_exports.py", folder, *names, home=folder)[-1])


@pytest.mark.parametrize("kind", ["glb", "fbx", "baked.fbx", "usda"])
def test_all_names_and_shapes_come_back(facts, kind):
    assert facts[kind]["names"] == NAMES
    assert facts[kind]["whole"] and facts[kind]["neutral_m"] < TOLERANCE_M
    assert facts[kind]["delta_m"] < TOLERANCE_M


def test_usd_has_a_blend_shape_of_every_name(facts):
    assert facts["usd_names"] == NAMES


@pytest.mark.parametrize("kind", ["glb", "baked.fbx", "usda"])
def test_the_animation_comes_back(facts, kind):
    np.testing.assert_allclose(facts[kind]["played"], facts["out"], atol=0.02)
    assert np.ptp(facts["out"], axis=0).min() > 0.4


def test_fbx_by_its_usual_settings_has_shapes_without_their_animation(facts):
    """The exporter's doing; should a version change it, the text above and the manual must change too."""
    assert not facts["fbx"]["animated"]
    assert facts["fbx"]["values"] == pytest.approx([0, 0.9])
