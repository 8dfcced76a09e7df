import numpy as np
import pytest
import torch

from id3d_engine.assets.appearance import HAIR_STYLES, AppearanceParameters, style_logits
from id3d_engine.assets.hair import hair_offsets
from id3d_engine.render.normals import vertex_normals


def offsets(template, style, **changes):
    look = AppearanceParameters(style_logits=style_logits(style), **changes)
    return hair_offsets(template, template.vertices, look)


def test_bald_and_shaven_raises_nothing(template):
    assert not offsets(template, "bald").any()


@pytest.mark.parametrize("style", [s for s in HAIR_STYLES if s != "bald"])
def test_hair_leaves_face_ears_and_eyes_alone(template, style):
    moved = np.linalg.norm(offsets(template, style), axis=1)
    assert moved.max() > 0.001
    for region in ("lips", "eyeballs", "mouth_inside"):
        assert moved[template.regions[region] > 0.5].max() < 1e-6, region
    assert moved[template.regions["ears"] > 0.95].max() < 0.001
    assert moved[template.landmarks["nose_tip"]] < 1e-6


@pytest.mark.parametrize("style", ["short", "quiff", "afro", "curly", "long", "bob"])
def test_raised_hair_does_not_turn_inside_out(template, style):
    """No scalp triangle may flip against the direction it faced."""
    triangles = template.triangles
    scalp = (template.regions["scalp"][triangles] > 0.5).all(axis=1)

    def normals(v):
        a, b, c = v[triangles[scalp]].transpose(1, 0, 2)
        n = np.cross(b - a, c - a)
        return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)

    head = template.vertices + offsets(template, style, hair_volume=0.7)
    agree = (normals(template.vertices) * normals(head)).sum(axis=1)
    assert (agree > 0).mean() > 0.995


def test_volume_and_style_order_the_thickness(template):
    top = (template.regions["scalp"] > 0.9) & (template.vertices[:, 2] > 0.2)
    outward = vertex_normals(
        torch.from_numpy(template.vertices), torch.from_numpy(template.triangles)
    ).numpy()

    def height(style, **changes):
        return (offsets(template, style, **changes) * outward).sum(axis=1)[top].mean()

    assert height("buzz") < height("short") < height("afro")
    assert height("short", hair_volume=0.1) < height("short", hair_volume=0.9)


def test_long_hair_widens_the_back_of_the_neck_and_short_hair_does_not(template):
    neck = (template.regions["neck"] > 0.9) & (template.vertices[:, 1] > 0.03)
    assert np.linalg.norm(offsets(template, "short"), axis=1)[neck].max() < 0.002
    assert np.linalg.norm(offsets(template, "long"), axis=1)[neck].max() > 0.01


def test_a_full_beard_stands_off_the_chin(template):
    chin = template.landmarks["chin"]
    assert not offsets(template, "bald", beard=0.0)[chin].any()
    assert -offsets(template, "bald", beard=1.0)[chin, 1] > 0.003
