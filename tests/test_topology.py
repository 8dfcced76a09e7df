"""The fine head against the template's: the same head, smoother."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from id3d_engine.assets.appearance import AppearanceParameters, style_logits
from id3d_engine.errors import InputError
from id3d_engine.evaluate import stillness
from id3d_engine.expressions import side
from id3d_engine.geometry.mesh_quality import inverted
from id3d_engine.geometry.unfold import unfold_keys
from id3d_engine.haired import haired
from id3d_engine.head import Head
from id3d_engine.template import SKIN, load_template
from id3d_engine.topology import on_template, refined, topology_of


def test_there_and_back(template_head: Head) -> None:
    template, fine = load_template(), refined(template_head)
    assert len(fine.vertices) == 20_570 and len(fine.faces) == 4 * len(template.faces)
    assert [topology_of(head, template) for head in (template_head, fine)] == ["template", "fine"]
    back = on_template(fine, template)
    for one, other in ((back.vertices, template_head.vertices), (back.shape_keys, template_head.shape_keys),
                       (back.faces, template_head.faces), (back.uv, template_head.uv)):  # fmt: skip
        assert np.array_equal(one, other)
    assert fine.names == template_head.names and fine.uv.min() >= 0 and fine.uv.max() <= 1
    assert on_template(template_head, template).faces is template.faces


def test_strands_stay_on_the_head(template_head: Head) -> None:
    coarse = haired(
        template_head, AppearanceParameters(style_logits=style_logits("long")), load_template(), 0
    )
    fine = refined(coarse)
    assert coarse.strands is not None and fine.strands is not None
    assert np.abs(fine.roots.places(fine.vertices) - fine.strands.points[:, 0]).max() < 1e-6
    # The smooth surface is millimetres from the flat faces, and no strand is turned.
    assert np.abs(fine.strands.points - coarse.strands.points).max() < 0.006
    back = on_template(fine, load_template()).strands
    assert back is not None
    assert np.allclose(back.points, coarse.strands.points, atol=1e-6)


def test_one_sided_units_stay_on_their_side(template_head: Head) -> None:
    before, after = stillness(template_head), stillness(refined(template_head))
    assert before.keys() == after.keys() and before
    for name, length in after.items():
        assert length <= before[name] + 1e-7


def test_another_mesh_is_refused(small_head: Head) -> None:
    assert topology_of(small_head, load_template()) == "dmtet"
    with pytest.raises(InputError, match="does not have the template's topology"):
        on_template(small_head, load_template())


def test_sides() -> None:
    assert [side(name) for name in ("eyeBlinkLeft", "mouthSmileRight", "jawLeft", "smile")] == [1, -1, 0, 0]


def test_a_fine_heads_keys_turn_no_skin_over(template_head: Head) -> None:
    keys = dict(zip(template_head.names, template_head.shape_keys, strict=True))
    open_keys = unfold_keys(load_template(), template_head.vertices, keys)
    template_head = replace(template_head, shape_keys=np.stack(list(open_keys.values())))
    fine = refined(template_head)
    skin = fine.triangles[np.tile(fine.part == SKIN, 2)]
    turned = {
        name: int(inverted(fine.vertices, fine.vertices + offsets, skin).sum())
        for name, offsets in zip(fine.names, fine.shape_keys, strict=True)
    }
    assert max(turned.values()) <= 1e-3 * len(skin) / 10  # a tenth of what may be
    # What the template has does not move, so that a fine head is still a template's.
    count = len(template_head.vertices)
    assert np.array_equal(fine.shape_keys[:, :count], template_head.shape_keys.astype(np.float32))
