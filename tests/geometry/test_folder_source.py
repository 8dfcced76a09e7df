"""A user's scans come back on the template's topology, whatever their unit and axes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from id3d_engine.errors import InputError
from id3d_engine.geometry.folder_source import Placement, read_subject, subjects
from id3d_engine.geometry.mesh_quality import surface_error
from id3d_engine.template import load_template

MARKS = ("nose_tip", "chin", "left_eye_outer", "right_eye_outer", "left_mouth_corner", "right_mouth_corner",
         "left_ear", "right_ear", "crown")  # fmt: skip
TURN = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # Z up, face to -Y -> Y up, face to +Z


@pytest.fixture(scope="module")
def template():
    return load_template()


@pytest.fixture(scope="module")
def person(template):
    people = np.array([[40, 0.9, 0.2, 0.1, 0.7, 0.6, 0.5]])
    return template.shape(template.given_attributes.sample(people, np.random.default_rng(3))[0])


@pytest.fixture(scope="module")
def folder(template, person, tmp_path_factory):
    """One subject in millimetres, Y up: a neutral with a red-and-green texture, and an open jaw."""
    folder = tmp_path_factory.mktemp("scans") / "anna"
    folder.mkdir()
    skin = np.tile((template.part == 0) & (template.regions["eye_sockets"][template.faces] < 0.5).all(1), 2)
    triangles = template.triangles[skin]
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:, 0] = pixels[:, :32, 1] = 255  # head's left red, right green
    for name, offsets in (("neutral", 0.0), ("jawOpen", template.arkit["jawOpen"])):
        points = (1000 * (person + offsets) @ TURN.T + [5, 40, -7])[triangles].reshape(-1, 3)
        left = (template.vertices[triangles][..., :1] > 0).mean(axis=1, keepdims=True) > 0.5
        uv = np.where(np.broadcast_to(left, (*triangles.shape, 1)), 0.75, 0.25).reshape(-1, 1)
        visual = trimesh.visual.TextureVisuals(uv=np.tile(uv, 2), image=Image.fromarray(pixels))
        faces = np.arange(len(points)).reshape(-1, 3)
        trimesh.Trimesh(points, faces, visual=visual, process=False).export(folder / f"{name}.glb")
    marks = {k: (1000 * TURN @ person[template.landmarks[k]] + [5, 40, -7]).tolist() for k in MARKS}
    about = {"caption": "Anna, forty", "attributes": {"age": 40}, "landmarks": marks}
    (folder / "subject.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="module")
def head(template, folder):
    return read_subject(template, folder, texture_size=128)


def test_the_neutral_is_recovered_at_its_size(template, person, head):
    assert surface_error(head.neutral, person, template.triangles, template.regions["face"]) < 0.3e-3
    width = np.ptp(head.neutral[:, 0]) / np.ptp(person[:, 0])
    assert width == pytest.approx(1, abs=0.03)


def test_the_expression_is_recovered(template, head):
    marks = template.landmarks
    offsets = head.expressions["jawOpen"]
    wanted = template.arkit["jawOpen"][marks["chin"]]
    assert np.linalg.norm(offsets[marks["chin"]] - wanted) < 0.25 * np.linalg.norm(wanted)
    assert np.all(offsets[marks["crown"]] == 0)


def test_the_texture_moves_to_the_template_s_uvs(template, head):
    assert head.albedo_srgb.shape == (128, 128, 3) and head.painted.shape == (128, 128)
    left = template.uv[template.part == 0].reshape(-1, 2)
    x = template.vertices[template.faces[template.part == 0]].reshape(-1, 3)[:, 0]
    face = template.regions["face"][template.faces[template.part == 0]].reshape(-1) > 0.9
    for side, channel in ((x > 0.02, 0), (x < -0.02, 1)):
        column, row = (left[side & face] * [128, -128] + [0, 128]).astype(int).T
        assert np.median(head.albedo_srgb[row.clip(0, 127), column.clip(0, 127), channel]) > 0.9


def test_words_come_along(head):
    assert head.name == "anna" and head.caption == "Anna, forty" and head.attributes == {"age": 40.0}


def test_subjects_are_folders_with_a_neutral(folder, tmp_path):
    assert subjects(folder.parent) == [folder]
    with pytest.raises(InputError, match="holds no scans"):
        subjects(tmp_path)


def test_landmarks_decide_unit_and_axes(template):
    points = {k: (TURN @ template.vertices[template.landmarks[k]] / 0.01).tolist() for k in MARKS}
    place = Placement.fit(template, points, "x.obj")
    assert place.scale == 0.01 and np.allclose(place.rotation, TURN.T, atol=1e-6)
    assert np.allclose(place.start(template), template.vertices, atol=1e-5)


@pytest.mark.parametrize(
    ("landmarks", "match"),
    [
        ({"nose_tip": [0, 0, 0]}, "too few"),
        ({"nose": [0, 0, 0]}, "'nose' is none"),
        ({key: [0, 0] for key in MARKS}, "is no point"),
    ],
)
def test_unusable_landmarks_are_refused(template, landmarks, match):
    with pytest.raises(InputError, match=match):
        Placement.fit(template, landmarks, "x.obj")


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"smile.obj": ""}, "no neutral scan"),
        ({"neutral.obj": "", "sneeze.obj": ""}, "'sneeze'"),
        ({"neutral.obj": "", "subject.json": "{"}, "is damaged"),
        ({"neutral.obj": "", "subject.json": "[]"}, "no JSON object"),
        ({"neutral.obj": "v 0 0 0\n"}, "has no faces|cannot be read"),
        ({"neutral.ply": "nonsense"}, "cannot be read"),
    ],
)
def test_unusable_folders_are_refused(template, tmp_path, files, match):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_subject(template, tmp_path)
