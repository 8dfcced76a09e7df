"""A finished head and its look -> strands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..assets.appearance import AppearanceParameters
from ..assets.hair import hair_depth
from ..assets.hair_paint import hair_colour
from ..assets.texels import bump, smoothstep
from ..strands import SCALP, Strands, joined
from ..template import HeadTemplate
from . import face
from .cuts import CUTS, Cut, parting
from .grow import grow
from .scalp import Roots, Scalp
from .tint import tinted, tuft


def groom(
    template: HeadTemplate, vertices: NDArray[np.floating], appearance: AppearanceParameters, seed: int = 0
) -> Strands | None:
    """Hair as strands; the same arguments give the same strands.

    Args:
        template: The head's topology.
        vertices: (V, 3) the finished head, the hair's body raised and nothing hanging, metres.
        appearance: Its look.
        seed: Places the strands, with the look's own texture seed.

    Returns:
        The strands, rooted on `vertices`; None if there is not a single one.
    """
    look = appearance.clamped()
    random = np.random.default_rng((seed & 0xFFFFFFFF, look.texture_seed & 0xFFFFFFFF))
    scalp = Scalp(template, vertices)
    parts = [kind(scalp, look, random) for kind in (_scalp_hair, face.beard, face.brows, face.lashes)]
    found = [part for part in parts if part is not None]
    return joined(found) if found else None


def _scalp_hair(scalp: Scalp, look: AppearanceParameters, random: np.random.Generator) -> Strands | None:
    if look.style not in CUTS:
        return None
    cut = CUTS[look.style]
    chances = _density(scalp, look)
    if not (chances > 0).any():
        return None
    roots = scalp.sow(chances, cut.count, random)
    frame = scalp.frame(roots.rest)
    depth = hair_depth(frame, look, hanging=False)
    # As softly as the hairline is painted; long hair from below it would lie across the forehead.
    soft = (-0.005, 0.003) if cut.ends is None else (0.0, 0.006)
    roots = roots.only(smoothstep(*soft, depth) > random.uniform(0.0, 1.0, len(depth)))
    frame = scalp.frame(roots.rest)
    depth = hair_depth(frame, look, hanging=False)
    length = _lengths(roots, frame.height, depth, cut, look) * random.uniform(0.8, 1.15, len(roots))
    side = np.where(roots.rest[:, 0] + random.normal(0, 0.0012, len(roots)) > parting(look), 1.0, -1.0)
    grown = grow(scalp, roots, length, side, cut, look, random)
    radius = cut.radius * random.uniform(0.8, 1.2, len(roots))
    return tuft(
        grown.points, roots.uv, radius, tinted(hair_colour(look), grown.lock, look, random), SCALP, look
    )


def _density(scalp: Scalp, look: AppearanceParameters) -> NDArray[np.float32]:
    """(V,) how densely scalp hair grows, 1 where it is full; as `hair_paint.scalp_hair` paints it."""
    template = scalp.template
    frame = scalp.frame(template.vertices)
    # A little before the line, so that triangles across it count; roots are tested one by one.
    full = smoothstep(-0.016, 0.0, hair_depth(frame, look, hanging=False))
    skin = np.zeros(len(template.vertices), np.float32)
    skin[template.faces[template.part == 0]] = 1.0
    full = full * skin * (template.regions["ears"] < 0.5) * (template.regions["eye_sockets"] < 0.5)
    if look.style == "receding":
        thin = bump(frame.offset[:, 1], 0.02, 0.035) * smoothstep(0.80, 0.95, frame.height)
        full = full * (1 - 0.75 * thin)
    return full


def _lengths(
    roots: Roots,
    height: NDArray[np.float32],
    depth: NDArray[np.float32],
    cut: Cut,
    look: AppearanceParameters,
) -> NDArray[np.float64]:
    """(S,) metres before chance."""
    top = smoothstep(0.45, 0.85, height)
    length = cut.side + (cut.top - cut.side) * top
    if cut.ends is not None:
        return length * (1 - 0.5 * smoothstep(-0.05, -0.4, height))
    # Fine hairs along the hairline, and shorter ones towards nape and temples.
    length = length * (0.35 + 0.65 * smoothstep(-0.004, 0.012 + 0.025 * (1 - top), depth))
    return (length * (0.6 + 0.8 * look.hair_volume)).astype(np.float64)
