"""Growing strands: guides step by step over the head, the others between them, then clumps and coils."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..assets.appearance import AppearanceParameters
from ..assets.texels import smoothstep
from ..geometry.closest import unit
from .cuts import Cut, combed
from .scalp import Array, Roots, Scalp

POINTS = 16
CLEAR_M = 0.0006  # the least height of a strand's points above the skin
_GUIDES = 1400
_LONG_STEPS = 36
_TOGETHER = 3  # guides that a strand lies between
_IN_A_LOCK = 7  # guides


@dataclass(frozen=True, eq=False)
class Growth:
    """What is grown: `POINTS` points a strand, and which guide each strand gathers at.

    Attributes:
        points: (S, POINTS, 3) metres.
        clump: (S,) index of the nearest guide.
        lock: (S,) index of the lock that the guide belongs to.
    """

    points: Array
    clump: NDArray[np.int64]
    lock: NDArray[np.int64]


def grow(
    scalp: Scalp,
    roots: Roots,
    length: Array,
    side: Array,
    cut: Cut,
    look: AppearanceParameters,
    random: np.random.Generator,
) -> Growth:
    """Strands from roots.

    Args:
        scalp: The head.
        roots: S of them.
        length: (S,) metres; of hanging hair the most that there can be.
        side: (S,) -1 or 1, the side of the parting.
        cut: How the hair is cut.
        look: Volume, curl and what else directs it.
        random: Draws what differs from strand to strand.
    """
    count = len(roots)
    chosen = np.sort(random.choice(count, min(_GUIDES, count), replace=False))
    depth = cut.layer * random.uniform(0.1, 1.0, count) * (0.3 + 1.4 * look.hair_volume)
    guides = _guides(
        scalp, roots.only(chosen), length[chosen], side[chosen], depth[chosen], cut, look, random
    )
    # Never between guides of two sides of a parting.
    apart = 0.2 * (side if cut.ends or look.style == "side_part" else np.zeros(count))
    spots = np.column_stack([roots.place, apart])
    first = random.permutation(len(chosen))[: max(1, len(chosen) // _IN_A_LOCK)]
    lock = cKDTree(spots[chosen[first]]).query(spots[chosen])[1]
    guides = _gathered(guides, guides[first][lock], cut.lock * random.uniform(0.5, 1.0, len(chosen)))
    distance, near = cKDTree(spots[chosen]).query(spots, k=min(_TOGETHER, len(chosen)))
    distance, near = distance.reshape(count, -1), near.reshape(count, -1)
    weights = 1 / (distance + 0.002)
    weights /= weights.sum(axis=1, keepdims=True)
    paths = guides - guides[:, :1]
    path = np.einsum("sg,sgkc->skc", weights, paths[near])
    if cut.ends is None:
        path *= (length / np.maximum((weights * length[chosen][near]).sum(axis=1), 1e-6))[:, None, None]
    points = roots.place[:, None] + path
    along = np.linspace(0, 1, POINTS)
    # What differs between neighbours: height, straying, gathering at the tips, waves and coils.
    up = roots.normal[:, None] * (along * (1 - 0.5 * along))[None, :, None]
    points += up * (random.normal(0, 0.25, count) * depth)[:, None, None]
    stray = random.normal(0, 1, (count, 3)) * (0.35 * cut.wild * length)[:, None]
    points += stray[:, None] * (along**1.5)[None, :, None] * (0.35 if cut.ends else 1.0)
    clump = near[:, 0]
    points = _gathered(points, guides[clump], cut.clump * random.uniform(0.5, 1.0, count))
    points += _waves(points, lock[clump], cut, look, random)
    return Growth(_clear(scalp, points, depth), clump, lock[clump])


def _gathered(points: Array, middle: Array, share: Array) -> Array:
    """(S, POINTS, 3) strands drawn towards others, one each, by (S,) shares at their tips."""
    along = smoothstep(0.1, 1.0, np.linspace(0, 1, POINTS))
    together = middle + 0.15 * (points[:, :1] - middle[:, :1])
    return points + (together - points) * (share[:, None] * along)[..., None]


def _guides(
    scalp: Scalp,
    roots: Roots,
    length: Array,
    side: Array,
    layer: Array,
    cut: Cut,
    look: AppearanceParameters,
    random: np.random.Generator,
) -> Array:
    """(G, POINTS, 3) strands that are followed over the head step by step."""
    hanging = cut.ends is not None
    steps = _LONG_STEPS if hanging else POINTS - 1
    stride = length / steps
    centre = scalp.anatomy.centre.astype(np.float64)
    place, normal = roots.place, roots.normal
    straying = unit(random.normal(0, 1, roots.place.shape))
    down = np.array([0.0, 0.0, -1.0])
    heading = None
    points = [place]
    for step in range(steps):
        share = step / steps
        offset = scalp.rest(place) - centre
        flow = unit(combed(offset, side, look))
        along = unit(flow - normal * (flow * normal).sum(axis=1, keepdims=True))
        lift = _lift(cut, look, offset) * (1 - share) ** 2 if not hanging else cut.lift * np.exp(-9 * share)
        lift = np.broadcast_to(lift, len(place))[:, None]
        wanted = along * (1 - lift) + normal * lift + cut.wild * straying
        if hanging:
            # Combed on the skull, falling from its sides on.
            free = smoothstep(0.05, -0.01, offset[:, 2])[:, None]
            wanted = wanted * (1 - 0.8 * free) + down * (0.2 + cut.gravity * free) * smoothstep(
                0.0, 0.15, share
            )
            wanted += _to_the_neck(offset, cut)
            if cut.fringe is None:
                wanted += _off_the_face(offset, side)
        else:
            wanted += cut.gravity * down * share
        wanted = unit(wanted)
        heading = wanted if heading is None else unit(0.55 * heading + wanted)
        # A layer is reached within the first third of the strand and then kept.
        reach = layer * smoothstep(0.0, 0.35, share + 1 / steps)
        high = np.inf if hanging or look.style in ("afro", "curly") else np.maximum(reach * 1.6, CLEAR_M)
        place, normal = scalp.kept_out(place + heading * stride[:, None], np.maximum(reach, CLEAR_M), high)
        points.append(place)
    path = np.stack(points, axis=1)
    return _cut_off(path, scalp, cut, random) if hanging else path


def _lift(cut: Cut, look: AppearanceParameters, offset: Array) -> Array:
    """(N,) as `Cut.lift`; a quiff stands up in front alone."""
    front = smoothstep(-0.035, -0.075, offset[:, 1]) * smoothstep(0.02, 0.06, offset[:, 2])
    if look.style == "quiff":
        return 0.12 + 0.75 * front
    if look.style == "side_part":
        return cut.lift * (0.5 + 1.2 * front)
    return np.full(len(offset), cut.lift)


def _off_the_face(offset: Array, side: Array) -> Array:
    """(N, 3) what keeps hanging hair beside the face."""
    x, y, z = offset.T
    before = smoothstep(-0.035, -0.065, y) * smoothstep(0.075, 0.05, np.abs(x)) * smoothstep(0.075, 0.05, z)
    beside = smoothstep(-0.02, -0.05, y) * smoothstep(0.03, 0.0, z)
    out = np.zeros_like(offset)
    out[:, 0] = np.where(np.abs(x) > 0.02, np.sign(x), side) * (1.2 * before)
    out[:, 1] = 0.7 * before + 0.45 * beside
    return out


def _before_the_face(offset: Array) -> Array:
    """(N,) 1 before forehead and eyes, 0 beside them."""
    x, y, _ = offset.T
    return smoothstep(-0.03, -0.055, y) * smoothstep(0.066, 0.05, np.abs(x))


def _to_the_neck(offset: Array, cut: Cut) -> Array:
    """(N, 3) hair below the ears falls inwards."""
    out = -offset
    out[:, 2] = 0
    return unit(out) * (cut.inward * smoothstep(-0.03, -0.09, offset[:, 2]))[:, None]


def _cut_off(path: Array, scalp: Scalp, cut: Cut, random: np.random.Generator) -> Array:
    """(G, POINTS, 3): strands end at the height where they are cut, and are drawn with fewer points."""
    assert cut.ends is not None
    low, high = scalp.vertices[:, 2].min(), scalp.vertices[scalp.template.regions["eyeballs"] > 0.5, 2].mean()
    end = np.repeat(random.uniform(*cut.ends, len(path))[:, None], path.shape[1], axis=1)
    if cut.fringe is not None:
        offset = scalp.rest(path.reshape(-1, 3)) - scalp.anatomy.centre
        end += cut.fringe * _before_the_face(offset).reshape(end.shape)
    end = low + (high - low) * end
    below = path[:, :, 2] < end
    below[:, 0] = False  # what is rooted below its end keeps a step
    last = np.where(below.any(axis=1), below.argmax(axis=1), path.shape[1] - 1)
    # Where between two points it passes the height.
    row = np.arange(len(path))
    before, after = path[row, last - 1, 2], path[row, last, 2]
    part = np.clip((before - end[row, last]) / np.maximum(before - after, 1e-9), 0, 1)
    stop = np.where(below.any(axis=1), last - 1 + part, last)
    at = stop[:, None] * np.linspace(0, 1, POINTS)
    first = np.minimum(at.astype(np.int64), path.shape[1] - 2)
    share = (at - first)[..., None]
    return path[row[:, None], first] * (1 - share) + path[row[:, None], first + 1] * share


def _waves(
    points: Array,
    lock: NDArray[np.int64],
    cut: Cut,
    look: AppearanceParameters,
    random: np.random.Generator,
) -> Array:
    """(S, POINTS, 3) what bends strands: coils, or gentle waves that neighbours share."""
    count = len(points)
    along = np.linspace(0, 1, POINTS)
    tangent = unit(np.gradient(points, axis=1))
    first = unit(np.cross(tangent, unit(random.normal((0.3, 0.2, 1.0), 0.15, (count, 1, 3)))))
    second = np.cross(tangent, first)
    shared = random.uniform(0, 2 * np.pi, lock.max() + 1)[lock]
    run = np.linalg.norm(np.diff(points, axis=1), axis=2).sum(axis=1)
    if cut.coil:
        phase = shared + random.normal(0, 0.9 if look.style == "curly" else 3.0, count)
        turns = cut.turns * random.uniform(0.75, 1.25, count) * (0.6 + 0.6 * look.hair_curl)
        size = cut.coil * random.uniform(0.6, 1.3, count) * (0.7 + 0.6 * look.hair_volume)
    else:
        # About 45 mm a wave, stronger in curlier hair.
        phase = shared + random.normal(0, 0.4, count)
        turns = run / 0.05 * random.uniform(0.9, 1.1, count)
        size = 0.012 * np.clip(look.hair_curl - 0.05, 0, 1) * np.clip(run / 0.12, 0, 1)
        size = size * random.uniform(0.7, 1.3, count)
    angle = phase[:, None] + 2 * np.pi * turns[:, None] * along
    swing = smoothstep(0.0, 0.3, along) * size[:, None]
    out = first * (np.cos(angle) * swing)[..., None]
    return out + second * (np.sin(angle) * swing * (1.0 if cut.coil else 0.35))[..., None]


def _clear(scalp: Scalp, points: Array, layer: Array) -> Array:
    """The points out of the head; roots stay on it."""
    flat = points[:, 1:].reshape(-1, 3)
    rising = smoothstep(0.0, 0.3, np.linspace(0, 1, POINTS)[1:])
    low = np.maximum(0.35 * layer[:, None] * rising, CLEAR_M).reshape(-1)
    out, _ = scalp.kept_out(flat, low)
    return np.concatenate([points[:, :1], out.reshape(len(points), -1, 3)], axis=1)
