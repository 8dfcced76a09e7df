"""What tests of several areas share."""

from __future__ import annotations

import numpy as np
import pytest

from id3d_engine.head import Head
from id3d_engine.template import EYE, MOUTH, SKIN

NAMES = ("mouth_stretch", "smile", "eyeBlinkLeft", "jawOpen")


def _ball(rows: int, columns: int, radius_m: float, centre_m: tuple[float, float, float]) -> tuple:
    """A UV sphere whose seam shares vertices but not UVs; its caps are triangles."""
    polar = np.linspace(0, np.pi, rows + 1)[1:-1]
    around = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    theta, phi = np.meshgrid(polar, around, indexing="ij")
    ring = np.stack([np.sin(theta) * np.sin(phi), -np.sin(theta) * np.cos(phi), np.cos(theta)], -1)
    vertices = np.concatenate([ring.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]]) * radius_m + centre_m
    top, bottom = len(vertices) - 2, len(vertices) - 1
    faces, uv = [], []
    for j in range(columns):
        k, u0, u1 = (j + 1) % columns, j / columns, (j + 1) / columns
        for i in range(rows - 2):
            v0, v1 = 1 - (i + 1) / rows, 1 - (i + 2) / rows
            a, b = i * columns, (i + 1) * columns
            faces.append([b + j, b + k, a + k, a + j])
            uv.append([[u0, v1], [u1, v1], [u1, v0], [u0, v0]])
        last = (rows - 2) * columns
        faces.append([j, k, top, top])
        uv.append([[u0, 1 - 1 / rows], [u1, 1 - 1 / rows], [u0, 1], [u0, 1]])
        faces.append([last + k, last + j, bottom, bottom])
        uv.append([[u1, 1 / rows], [u0, 1 / rows], [u0, 0], [u0, 0]])
    return vertices, np.array(faces), np.array(uv)


@pytest.fixture
def small_head() -> Head:
    """Three balls (skin, eye, mouth), quads and triangles, a UV seam, four shape keys, 16 px maps."""
    sizes = {SKIN: (0.1, (0, 0, 0.12)), EYE: (0.015, (0.03, -0.09, 0.15)), MOUTH: (0.02, (0, -0.08, 0.08))}
    vertices, faces, uv, part, count = [], [], [], [], 0
    for value, (radius, centre) in sizes.items():
        v, f, t = _ball(8, 12, radius, centre)
        vertices.append(v)
        faces.append(f + count)
        uv.append((t + np.array([value, 0])) / [3, 1])
        part.append(np.full(len(f), value))
        count += len(v)
    random = np.random.default_rng(3)
    shape_keys = np.zeros((len(NAMES), count, 3))
    shape_keys[0] = random.normal(size=(count, 3)) * 0.002  # dense
    shape_keys[1, 10:20] = random.normal(size=(10, 3)) * 0.004  # sparse; the last stays at zero
    shape_keys[2, 60:75] = random.normal(size=(15, 3)) * 0.004
    maps = {
        "albedo": random.random((16, 16, 3)),
        "roughness": random.random((16, 16)),
        "specular": random.random((16, 16)) * 0.5,
        "normal": np.full((16, 16, 3), (0.5, 0.5, 1.0)),
        "smile_albedo": random.random((16, 16, 3)),
    }
    return Head(
        np.concatenate(vertices),
        np.concatenate(faces),
        np.concatenate(uv),
        np.concatenate(part),
        shape_keys,
        NAMES,
        maps,
        {"provenance": {"seed": 7, "text": ""}, "metrics": {"likeness": 0.4}, "timings_s": {"sculpt": 1.5}},
    )
