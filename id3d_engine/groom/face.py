"""Beard, brows and upper lashes as short strands, where the skin has them painted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..assets.anatomy import beard_field, brow_frame
from ..assets.appearance import AppearanceParameters
from ..assets.hair_paint import beard_colour, brow_colour
from ..assets.noise import fbm
from ..assets.texels import smoothstep
from ..geometry.closest import unit
from ..strands import BEARD, BROW, LASH, Strands
from .grow import POINTS
from .scalp import Array, Roots, Scalp
from .tint import tinted, tuft

_BEARD, _BROW, _LASH = 7500, 330, 70  # strands: of a full beard, of a brow, of an eye's lashes
_LEAST = 0.2  # beards below are stubble, which stays painted
_NEAR_LID_M = 0.0022
Float = NDArray[np.float32]


def beard(scalp: Scalp, look: AppearanceParameters, random: np.random.Generator) -> Strands | None:
    """A full beard, a chin's patch or a moustache; None for stubble and less."""
    if max(look.beard, look.moustache) < _LEAST:
        return None
    regions, rest = scalp.template.regions, scalp.template.vertices
    chances = _spread(scalp, _bearded(scalp, look, rest)) * (1 - regions["mouth_inside"])
    share = float((chances > 0.3).sum()) / max(1, int((_anywhere(scalp) > 0.3).sum()))
    roots = scalp.sow(chances, max(900, int(_BEARD * min(1.0, share))), random)
    bare = np.clip(2 * np.maximum(roots.of(regions["lips"]), roots.of(regions["ears"])) - 0.5, 0, 1)
    full = _bearded(scalp, look, roots.rest) * (1 - bare)
    kept = full > random.uniform(0.1, 0.5, len(roots))
    roots, full = roots.only(kept), full[kept]
    if not len(roots):
        return None
    jaw, chin, lip = beard_field(scalp.anatomy, roots.rest)
    over_lip = lip > np.maximum(jaw, chin)
    length = np.where(over_lip, 0.009, 0.008 + 0.013 * smoothstep(0.3, 1.0, look.beard) * (0.5 + 0.5 * chin))
    length = length * np.clip(0.2 + 0.9 * full, 0, 1) * random.uniform(0.6, 1.15, len(roots))
    side = np.sign(roots.rest[:, 0])
    down = np.array([0.0, -0.25, -1.0]) + np.zeros((len(roots), 3))
    # A moustache is combed to the sides, cheeks down and forward.
    away = smoothstep(0.0, 0.006, np.abs(roots.rest[:, 0])) * side
    combed = np.where(over_lip[:, None], np.stack([0.9 * away, 0 * away, -0.75 + 0 * away], 1), down)
    points = _short(scalp, roots, combed, length, 0.38, 0.15 + 0.3 * look.hair_curl, random)
    tint = tinted(beard_colour(look), random.integers(0, 60, len(roots)), look, random)
    return tuft(points, roots.uv, 0.0002 * random.uniform(0.8, 1.2, len(roots)), tint, BEARD, look)


def brows(scalp: Scalp, look: AppearanceParameters, random: np.random.Generator) -> Strands | None:
    """Both brows, as thick, dense and arched as they are painted; None where there is hardly one."""
    density = 0.25 + 0.8 * look.brow_density
    chances = (_browed(scalp, look, scalp.template.vertices, 1.6) > 0).astype(np.float32)
    chances *= 1 - scalp.template.regions["mouth_inside"]
    # The region is sown far too densely: triangles there are larger than a brow is high.
    roots = scalp.sow(_spread(scalp, chances), 40 * _BROW, random)
    roots = roots.only(_browed(scalp, look, roots.rest, 1.0) > random.uniform(0.0, 1.0, len(roots)))
    wanted = int(2 * _BROW * min(1.0, density) * (0.6 + 0.8 * look.brow_thickness))
    if not len(roots):
        return None
    roots = roots.only(np.sort(random.permutation(len(roots))[:wanted]))
    frame = brow_frame(scalp.anatomy, roots.rest)
    along = np.clip(frame.along, 0, 1)
    side = np.sign(roots.rest[:, 0])
    # Upwards at the nose's end, outwards along the rest; hairs above the middle lean down onto it.
    rise = 1.3 * (1 - smoothstep(0.0, 0.45, along)) + 0.25 - 0.55 * smoothstep(0.5, 1.0, along)
    rise -= 0.45 * np.clip(frame.across / 0.003, -1, 1) * smoothstep(0.1, 0.4, along)
    combed = np.stack([side, 0.25 * along, rise], axis=1)
    length = (0.0050 + 0.0030 * look.brow_thickness) * (1 - 0.35 * smoothstep(0.7, 1.0, along))
    points = _short(scalp, roots, combed, length * random.uniform(0.6, 1.1, len(roots)), 0.12, 0.12, random)
    colour = brow_colour(look)[None] * random.uniform(0.75, 1.2, (len(roots), 1))
    radius = 0.000065 * random.uniform(0.8, 1.2, len(roots))
    return tuft(points, roots.uv, radius, np.clip(colour, 0.006, 1), BROW, look)


def lashes(scalp: Scalp, look: AppearanceParameters, random: np.random.Generator) -> Strands | None:
    """The upper lashes, curling up and outwards from the lid's edge."""
    a, template = scalp.anatomy, scalp.template
    folded = np.abs(template.vertices * [1, 0, 0]) + template.vertices * [0, 1, 1]
    near = (np.linalg.norm(folded - a.eye, axis=1) < 0.03).astype(np.float32)
    sown = scalp.sow(near * (1 - template.regions["eyeballs"]), 26000, random)
    rest = sown.rest * np.where(sown.rest[:, :1] < 0, [-1, 1, 1], 1).astype(np.float32)
    middle = (a.eye_outer[0] + a.eye_inner[0]) / 2
    half = (a.eye_outer[0] - a.eye_inner[0]) / 2
    corner = a.eye_inner[2] + (a.eye_outer[2] - a.eye_inner[2]) * np.clip(
        (rest[:, 0] - a.eye_inner[0]) / (2 * half), 0, 1
    )
    upper = a.lid_edge[a.lid_edge[:, 2] > np.interp(
        a.lid_edge[:, 0], (a.eye_inner[0], a.eye_outer[0]), (a.eye_inner[2], a.eye_outer[2])
    )]  # fmt: skip
    distance = cKDTree(upper).query(rest)[0]
    good = (distance < _NEAR_LID_M) & (rest[:, 2] > corner) & (rest[:, 1] < a.lid_edge[:, 1].max() + 0.001)
    order = np.flatnonzero(good)
    if len(order) < 20:
        return None
    # The nearest to the edge of each of many bins along it, so that they stand in a row.
    place = np.digitize(rest[order, 0], np.linspace(a.eye_inner[0], a.eye_outer[0], _LASH)) * 2
    place += sown.rest[order, 0] < 0
    order = order[np.lexsort((distance[order], place))]
    first = np.unique(np.sort(place), return_index=True)[1]
    roots = sown.only(order[first])
    x = np.abs(roots.rest[:, 0])
    outer = np.clip((x - middle) / half, -1, 1)
    length = (0.0044 + 0.0018 * outer) * random.uniform(0.75, 1.1, len(roots)) * (1 + 0.4 * look.makeup)
    side = np.sign(roots.rest[:, 0])
    start = unit(np.stack([side * (0.15 + 0.55 * outer), -1 + 0 * x, -0.15 + 0 * x], 1))
    start = unit(start + random.normal(0, 0.08, start.shape))
    share = np.linspace(0, 1, POINTS)[None, :, None]
    curl = np.array([0.0, 0.0, 0.6])
    points = roots.place[:, None] + length[:, None, None] * (start[:, None] * share + curl * share**2.2)
    tone = brow_colour(look) * (1 - 0.6 * max(look.makeup, 0.3))
    colour = np.repeat(np.clip(tone, 0.006, 1)[None], len(roots), axis=0)
    radius = np.full(len(roots), 0.00005 * (1 + 0.6 * look.makeup))
    return tuft(_out_of(scalp, points), roots.uv, radius, colour, LASH, look)


def _short(
    scalp: Scalp,
    roots: Roots,
    combed: Array,
    length: Array,
    lift: float,
    bend: float,
    random: np.random.Generator,
) -> Array:
    """(S, POINTS, 3) short strands: off the skin along `combed`, a little curved, each its own way."""
    count = len(roots)
    along = unit(combed - roots.normal * (combed * roots.normal).sum(axis=1, keepdims=True))
    start = unit(along * (1 - lift) + roots.normal * lift + random.normal(0, 0.15, (count, 3)))
    share = np.linspace(0, 1, POINTS)[None, :, None]
    curve = (
        bend * unit(random.normal(0, 1, (count, 3)))[:, None] * share**2
        - 0.3 * roots.normal[:, None] * share**2
    )
    points = roots.place[:, None] + length[:, None, None] * (start[:, None] * share + curve)
    return _out_of(scalp, points)


def _out_of(scalp: Scalp, points: Array) -> Array:
    """The points out of the skin; roots stay on it."""
    out, _ = scalp.kept_out(points[:, 1:].reshape(-1, 3), 0.0002)
    return np.concatenate([points[:, :1], out.reshape(len(points), -1, 3)], axis=1)


def _bearded(scalp: Scalp, look: AppearanceParameters, rest: Float) -> Float:
    """(N,) how full the beard is, as `hair_paint.beard_cover` has it."""
    jaw, chin, lip = beard_field(scalp.anatomy, rest)
    full = np.maximum(jaw * smoothstep(0.25, 0.7, look.beard), chin * smoothstep(0.05, 0.4, look.beard))
    full = np.maximum(full, lip * look.moustache)
    patchy = 1 + 0.35 * fbm(rest, 60.0, look.texture_seed * 31 + 30, octaves=2)
    return full * patchy


def _anywhere(scalp: Scalp) -> Float:
    """(V,) where a full beard grows."""
    jaw, chin, lip = beard_field(scalp.anatomy, scalp.template.vertices)
    return np.maximum(np.maximum(jaw, chin), lip)


def _browed(scalp: Scalp, look: AppearanceParameters, rest: Float, wider: float) -> Float:
    """(N,) how full a brow is, as `hair_paint.brow_cover` has it, in a band `wider` times as high."""
    frame = brow_frame(scalp.anatomy, rest)
    inside = np.clip(frame.along, 0, 1)
    arch = 0.0045 * (look.brow_arch - 0.45) * np.sin(np.pi * np.clip(inside * 0.8 + 0.02, 0, 1))
    half = (0.0020 + 0.0032 * look.brow_thickness) * (1 - 0.62 * smoothstep(0.45, 1.0, inside))
    across = np.abs(frame.across - arch) / (wider * half)
    ends = smoothstep(-0.05, 0.12, frame.along) * smoothstep(1.05, 0.8, frame.along)
    return smoothstep(1.25, 0.5, across) * ends * frame.valid


def _spread(scalp: Scalp, chances: Float) -> Float:
    """(V,) chances that reach one ring of vertices farther."""
    out = chances.copy()
    for k in range(4):
        pairs = scalp.template.faces[:, [k, (k + 1) % 4]]
        np.maximum.at(out, pairs[:, 0], chances[pairs[:, 1]])
        np.maximum.at(out, pairs[:, 1], chances[pairs[:, 0]])
    return out
