"""One head against the true one. Every figure says by its name what it is measured in."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..appearance.atlas import make_atlas
from ..assets.asset import HeadAsset
from ..assets.hair import with_cap
from ..assets.skin import author_textures
from ..expressions import EXPRESSION_NAMES
from ..geometry.closest import vertex_normals
from ..geometry.mesh_quality import align, keys_quality, surface_error
from ..head import Head
from ..png import to_uint8
from ..template import SKIN, HeadTemplate, per_triangle

ALBEDO_PX = 256
LARGEST_PX = 4096
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
FACE = 0.5  # a vertex or texel with more of the region's weight is of the face


def figures(head: Head, asset: HeadAsset, template: HeadTemplate) -> dict[str, float]:
    """All figures of one head on the template's topology.

    Surface errors are mean distances to the true surface after rigid alignment; of a head with strands,
    to the true head with as much hair in its mesh. Expressions are compared as what they move, so an error
    of the neutral does not count twice.
    """
    face, true_head = template.regions["face"], asset.neutral
    if head.strands is not None:
        true_head = with_cap(template, asset.skin, asset.appearance)
    found = {
        "face_mm": 1e3 * surface_error(head.vertices, true_head, template.triangles, face),
        "head_mm": 1e3 * surface_error(head.vertices, true_head, template.triangles),
        "face_normals_deg": normal_error_deg(head.vertices, true_head, template),
        **albedo_figures(
            _reduced(head.textures["albedo"]),
            _reduced(_true_albedo(head, asset, template)),
            vertex_normals(head.vertices, template.triangles),
            template,
        ),
    }
    names = [name for name in EXPRESSION_NAMES if name in head.names]
    if names:
        own = np.stack([head.shape_keys[head.names.index(name)] for name in names])
        true = np.stack([asset.expression(name) for name in names])
        found["expressions_right_of_13"] = float(expressions_right(own, true))
        found["expression_mm"] = expression_error_mm(own, true, face)
        posed, skin = dict(zip(names, own, strict=True)), per_triangle(template.part == SKIN)
        quality = keys_quality(head.vertices, posed, template.triangles, skin)
        found["inverted_percent"] = 100 * max(key.inverted for key in quality.values())
        found["intersecting_percent"] = 100 * max(key.intersecting for key in quality.values())
        found["stretch"] = max(key.stretch for key in quality.values())
    return found


def normal_error_deg(
    found: NDArray[np.floating], truth: NDArray[np.floating], template: HeadTemplate
) -> float:
    """Mean angle between the faces' vertex normals, after rigid alignment."""
    face = template.regions["face"]
    moved = align(found, truth, face)
    cosine = (vertex_normals(moved, template.triangles) * vertex_normals(truth, template.triangles)).sum(
        axis=1
    )
    return float((face * np.degrees(np.arccos(np.clip(cosine, -1, 1)))).sum() / face.sum())


def expression_error_mm(
    own: NDArray[np.floating], true: NDArray[np.floating], face: NDArray[np.floating]
) -> float:
    """Mean distance of (E, V, 3) offsets from the true ones, vertices weighted by (V,) `face`."""
    return 1e3 * float((face * np.linalg.norm(own - true, axis=2)).sum(1).mean() / face.sum())


def expressions_right(own: NDArray[np.floating], true: NDArray[np.floating]) -> int:
    """(E, V, 3) offsets each: how many have their true namesake as the nearest of the true ones."""
    apart = np.linalg.norm(own[:, None] - true[None], axis=3).mean(axis=2)
    return int((apart.argmin(axis=1) == np.arange(len(own))).sum())


def albedo_figures(
    own: NDArray[np.floating],
    true: NDArray[np.floating],
    normals: NDArray[np.floating],
    template: HeadTemplate,
) -> dict[str, float]:
    """How the faces' albedo differs from the true one.

    `albedo_error` is the mean absolute difference, 0 to 1. `albedo_shadow` is the part of the luminance's
    difference that goes with light from a side, its standard deviation in percent, for the worst of six
    sides. `albedo_sharpness` is the mean difference of neighbouring texels' luminance over that of the true
    albedo, and `albedo_sharpness_off` the size of its logarithm: too sharp is no better than too soft.

    Args:
        own, true: (ALBEDO_PX, ALBEDO_PX, 3) sRGB from 0 to 1.
        normals: (V, 3) of the head's vertices.
        template: Their topology.
    """
    atlas, texels = make_atlas(template, ALBEDO_PX), _face_texels(template)
    around = np.zeros((ALBEDO_PX**2, 3))
    around[atlas.texel.numpy()] = atlas.points.interpolate(torch.from_numpy(normals)).numpy()
    light = np.clip(around[texels] @ np.concatenate([np.eye(3), -np.eye(3)]).T, 0, None)
    light -= light.mean(axis=0)
    too_light = ((own - true) @ LUMINANCE).reshape(-1)[texels]
    along = light.T @ (too_light - too_light.mean()) / len(texels) / np.maximum(light.std(axis=0), 1e-6)
    sharpness = _sharpness(own, texels) / max(_sharpness(true, texels), 1e-9)
    return {
        "albedo_error": float(np.abs(own - true).reshape(-1, 3)[texels].mean()),
        "albedo_shadow": 100 * float(np.abs(along).max()),
        "albedo_sharpness": sharpness,
        "albedo_sharpness_off": abs(math.log(max(sharpness, 1e-9))),
    }


def _sharpness(albedo: NDArray[np.floating], texels: NDArray[np.int64]) -> float:
    """Mean difference of neighbouring texels' luminance, across and down."""
    luminance = albedo @ LUMINANCE
    there = np.zeros(luminance.size, bool)
    there[texels] = True
    there = there.reshape(luminance.shape)
    across = np.abs(np.diff(luminance, axis=1))[there[:, 1:] & there[:, :-1]].mean()
    down = np.abs(np.diff(luminance, axis=0))[there[1:] & there[:-1]].mean()
    return float(across + down) / 2


def _true_albedo(head: Head, asset: HeadAsset, template: HeadTemplate) -> NDArray[np.uint8]:
    """As large as the head's own: fewer texels would show other detail once both are reduced."""
    size = min(max(len(head.textures["albedo"]), ALBEDO_PX), LARGEST_PX)
    return to_uint8(author_textures(template, asset.appearance, size, head.strands is None).albedo_srgb)


def _reduced(albedo: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(T, T, 3) -> (ALBEDO_PX, ALBEDO_PX, 3) from 0 to 1."""
    picture = Image.fromarray(albedo).resize((ALBEDO_PX, ALBEDO_PX), Image.Resampling.BOX)
    return np.asarray(picture, float) / 255


def _face_texels(template: HeadTemplate) -> NDArray[np.int64]:
    """Numbers of the texels that show the face's skin."""
    atlas = make_atlas(template, ALBEDO_PX)
    weight = atlas.points.interpolate(torch.from_numpy(template.regions["face"])[:, None]).numpy()[:, 0]
    return atlas.texel.numpy()[(weight > FACE) & (atlas.part == SKIN)]
