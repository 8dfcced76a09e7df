from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from id3d_engine import evaluate
from id3d_engine.errors import InputError
from id3d_engine.evaluate import Likeness, likeness, stillness, text
from id3d_engine.expressions import ARKIT_NAMES
from id3d_engine.head import Head

PORTRAIT = Path(__file__).parent.parent / "examples" / "portrait.jpg"


@pytest.fixture
def bundle(template_head: Head, tmp_path: Path) -> Path:
    return template_head.write(tmp_path / "anna.head", preview=False)


def test_the_template_is_a_good_head(bundle: Path) -> None:
    found = evaluate(bundle)
    assert found.problems == []
    assert list(found.keys) == ["smile", "eyes_closed", *ARKIT_NAMES]
    assert all(key.finite and key.inverted < 0.02 for key in found.keys.values())
    assert 0.01 < found.keys["jawOpen"].largest_m < 0.08
    assert max(found.stillness_m.values()) < 1e-6
    assert {"eyeBlinkLeft", "mouthSmileRight"} <= set(found.stillness_m)
    assert not {"jawLeft", "mouthRight", "smile", "jawOpen"} & set(found.stillness_m)
    assert found.uv.outside == 0 and found.uv.overlapping < 1e-3 and found.uv.covered > 0.4
    assert found.likeness is None


def test_a_spoilt_head_shows_it(template_head: Head, tmp_path: Path) -> None:
    vertices, names = template_head.vertices, template_head.names
    keys = template_head.shape_keys.copy()
    right = vertices[:, 0] < -0.02
    keys[names.index("eyeBlinkLeft"), right] = (0, 0.003, 0)
    keys[names.index("jawOpen"), :, 0] = -2 * vertices[:, 0]  # inside out: x goes to -x
    keys[names.index("cheekPuff")] = vertices  # twice as large
    spoilt = replace(template_head, shape_keys=keys)
    found = evaluate(spoilt.write(tmp_path / "b.head", preview=False))
    assert found.stillness_m["eyeBlinkLeft"] == pytest.approx(0.003)
    assert found.stillness_m["eyeBlinkRight"] < 1e-6
    # A mirror turns a normal (x, y, z) into (x, -y, -z): by more than 90 degrees where x is short.
    corner = vertices[spoilt.triangles[spoilt.triangles[:, 1] != spoilt.triangles[:, 2]]].astype(float)
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    turned = normal[:, 0] ** 2 < normal[:, 1] ** 2 + normal[:, 2] ** 2
    assert found.keys["jawOpen"].inverted == pytest.approx(turned.mean(), abs=0.01)
    assert found.keys["cheekPuff"].stretch == pytest.approx(2, abs=1e-3)
    assert found.keys["cheekPuff"].inverted == 0


def test_a_changed_file_is_a_problem(bundle: Path) -> None:
    (bundle / "head.glb").write_bytes(b"changed")
    assert "its sha256 differs" in evaluate(bundle).problems[0]


def test_stillness_knows_left_from_right(template_head: Head) -> None:
    offsets = np.zeros_like(template_head.vertices)
    offsets[template_head.vertices[:, 0] > 0.03] = (0.004, 0, 0)
    both = replace(
        template_head,
        shape_keys=np.stack([offsets] * 2),
        names=("browDownLeft", "browDownRight"),
        textures={},
    )
    assert stillness(both) == pytest.approx({"browDownLeft": 0.0, "browDownRight": 0.004})


def test_as_text_and_as_json(bundle: Path) -> None:
    found = evaluate(bundle)
    lines = text(found).splitlines()
    assert " ".join(lines[0].split()) == ("shape key longest mm stretch inverted % crossing % other side mm")
    assert len(lines) == 1 + 54 + 1
    assert "of the square covered" in lines[-1]
    again = json.loads(json.dumps(found.to_json()))
    assert again["keys"]["smile"]["finite"] is True
    assert 0 < again["keys"]["eyes_closed"]["intersecting"] < 0.05  # lids and lips press on each other
    assert again["keys"]["jawOpen"]["intersecting"] < 0.002
    assert again["uv"]["outside"] == 0
    with_face = replace(found, likeness=Likeness(0.612, {-25.0: None, 0.0: 0.61}, 0.6), notes=["a note"])
    assert text(with_face).splitlines()[-2:] == [
        "likeness: 0.61 from the photos (-25 deg no face, +0 deg 0.61); photos of one person stay below 0.60",
        "a note",
    ]
    nobody = replace(found, likeness=Likeness(None, {0.0: None}, 0.6))
    assert text(nobody).splitlines()[-1] == "likeness: the recogniser found no face in the renders"


def test_likeness_is_a_distance_of_faces(template_head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["id3d_engine.evaluate"], "AZIMUTHS_DEG", (0.0, 180.0))
    found = likeness(template_head, [PORTRAIT])
    assert set(found.views) == {0.0, 180.0}
    assert found.views[180.0] is None  # nobody has a face behind
    assert found.views[0.0] == found.distance
    # A plain grey template is no portrait of anybody, but it is a face.
    assert 0.3 < found.distance < 1.3
    assert found.same_person == 0.6


def test_what_cannot_be_measured_is_said(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a head bundle"):
        evaluate(tmp_path / "no.head")
    with pytest.raises(InputError, match=r"no\.jpg"):
        evaluate(bundle, [tmp_path / "no.jpg"])
