"""A small head-like template: an egg with two charts, two eyeballs before it, a mouth patch inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from id3d_engine.template import EYE, MOUTH, SKIN, HeadTemplate

torch.set_num_threads(1)


def sphere(centre, radii, rings, segments, chart):
    """Quads of an ellipsoid whose seam runs up the back (+Y); u grows towards +X seen from the front."""
    u0, u1, v0, v1 = chart
    vertices, uv = [], []
    for i in range(rings + 1):
        polar = np.pi * (0.02 + 0.96 * i / rings)
        for j in range(segments):
            angle = 2 * np.pi * j / segments  # 0 at +Y, so the face (-Y) is the middle of the chart
            vertices.append((-np.sin(polar) * np.sin(angle), np.sin(polar) * np.cos(angle), -np.cos(polar)))
    faces = []
    for i in range(rings):
        for j in range(segments):
            k = (j + 1) % segments
            faces.append([i * segments + j, i * segments + k, (i + 1) * segments + k, (i + 1) * segments + j])
            corner = [(j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1)]
            uv.append([(u0 + (u1 - u0) * a / segments, v0 + (v1 - v0) * b / rings) for a, b in corner])
    return (
        np.array(vertices) * np.array(radii) + np.array(centre),
        np.array(faces)[:, ::-1],
        np.array(uv)[:, ::-1],
    )


@pytest.fixture(scope="session")
def template() -> HeadTemplate:
    pieces = [
        (sphere((0, 0, 0.13), (0.075, 0.095, 0.12), 24, 36, (0.02, 0.98, 0.02, 0.76)), SKIN),
        (sphere((0.032, -0.082, 0.145), (0.013,) * 3, 8, 12, (0.02, 0.30, 0.80, 0.98)), EYE),
        (sphere((-0.032, -0.082, 0.145), (0.013,) * 3, 8, 12, (0.35, 0.63, 0.80, 0.98)), EYE),
        (sphere((0, -0.05, 0.075), (0.02, 0.02, 0.01), 4, 8, (0.70, 0.98, 0.80, 0.98)), MOUTH),
    ]
    vertices, faces, uv, part, offset = [], [], [], [], 0
    for (v, f, t), kind in pieces:
        vertices.append(v)
        faces.append(f + offset)
        uv.append(t)
        part.append(np.full(len(f), kind, np.uint8))
        offset += len(v)
    points = np.concatenate(vertices).astype(np.float32)
    ranges = np.concatenate([np.full(len(v), k) for (v, _, _), k in pieces])
    from scipy.spatial import cKDTree

    mirror = cKDTree(points).query(points * [-1, 1, 1])[1].astype(np.int32)
    skin = ranges == SKIN
    x, y, z = points.T
    front = skin & (y < -0.02)
    regions = {
        "face": front & (z > 0.05) & (z < 0.2),
        "scalp": skin & (z > 0.2),
        "lips": front & (np.abs(x) < 0.02) & (np.abs(z - 0.085) < 0.012),
        "brows": front & (np.abs(z - 0.17) < 0.008) & (np.abs(x) < 0.05),
        "ears": np.zeros_like(skin),
        "neck": skin & (z < 0.04),
        "eyelids": np.zeros_like(skin),
        "eyeballs": ranges == EYE,
        "mouth_inside": ranges == MOUTH,
        "left": x > 0,
    }
    return HeadTemplate(
        vertices=points,
        faces=np.concatenate(faces).astype(np.int32),
        uv=np.concatenate(uv).astype(np.float32),
        part=np.concatenate(part),
        basis=np.zeros((1, len(points), 3), np.float32),
        arkit={},
        regions={k: v.astype(np.float32) for k, v in regions.items()},
        landmarks={},
        mirror=mirror,
        given_attributes=None,
    )
