"""An expression at the template's topology, from its own sculpted surface.

It starts from the wrapped neutral in the expression's recipe (the head's own ARKit units), which
already has the mouth open or the lids shut, and takes up what the surface says beyond that as a smooth
displacement. Nearest points are only asked near where the recipe put them and where normals agree, so
an opened mouth does not tear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..rig.follow import follow, pieces
from ..rig.lids import BLINKS, close_side
from ..rig.units import STILL_M, pose
from ..template import HeadTemplate
from .closest import Surface
from .wrap import Pull, Settings, refine

Array = NDArray[np.float64]

# An expression is sought near its recipe, and held to it more than the neutral to its start.
EXPRESSION = Settings(rounds=6, longest_m=0.05, shortest_m=0.018, reach_m=0.012, agreement=0.6)
HELD = 0.2  # pull to the recipe beside the surface's: shrinks what the surface adds by a sixth
EXPRESSIVE_M = 0.003  # a vertex that some unit moves this far is free to follow


def fit_expression(
    template: HeadTemplate,
    neutral: NDArray[np.floating],
    units: Mapping[str, NDArray[np.floating]],
    recipe: Mapping[str, float],
    surface: Surface,
    *,
    reference: tuple[NDArray[np.floating], Surface] | None = None,
    settings: Settings = EXPRESSION,
) -> NDArray[np.float32]:
    """Offsets of one expression from the wrapped neutral.

    Args:
        template: The topology.
        neutral: (V, 3) metres, the wrapped neutral.
        units: The head's own ARKit units (`transfer_units`).
        recipe: ARKit unit -> weight, where the fit starts.
        surface: The expression's sculpted surface: vertices (N, 3) metres, triangles (T, 3).
        reference: What the sculpting of this expression started from: the start head's vertices (V, 3)
            in this expression, and their own surface on the same grid.
        settings: See `wrap.Settings`.

    Returns:
        (V, 3) float32 metres. Vertices that no unit moves keep offset 0.

    Raises:
        InputError: the surface is empty, not finite, or nowhere near the recipe's pose.
    """
    head = template.checked(neutral)
    start = head + pose(units, recipe)
    anchor = None if reference is None else (np.asarray(reference[0], np.float64), reference[1])
    pull = Pull(template, start, surface, settings, anchor)
    free = freedom(template)
    moved = refine(template, start, pull, free, replace(settings, hold=HELD))
    moved[free == 0] = start[free == 0]
    moved = _jaw_follows(template, units, start, moved)
    offsets = moved - head
    for side, blink in BLINKS.items():
        if recipe.get(blink, 0.0) > 0.95:
            offsets = close_side(template, head, offsets, side, touched_m=STILL_M)
    return offsets.astype(np.float32)


def freedom(template: HeadTemplate) -> Array:
    """(V,) in [0, 1]: how far a vertex may leave its recipe, by how much the units move it at most."""
    reach = np.max([np.linalg.norm(unit, axis=1) for unit in template.arkit.values()], axis=0)
    share = np.clip(reach / EXPRESSIVE_M, 0.0, 1.0)
    inside = np.zeros(len(reach))
    inside[pieces(template)[0]] = 1.0
    return share * inside * (1.0 - template.regions["eye_sockets"])


def _jaw_follows(
    template: HeadTemplate, units: Mapping[str, NDArray[np.floating]], start: Array, moved: Array
) -> Array:
    """Lower teeth and tongue go with the mouth around them; upper teeth and eyeballs stay in the skull."""
    out = follow(template, start, moved)
    for piece in pieces(template)[1:]:
        if np.abs(units["jawOpen"][piece]).max() < STILL_M:
            out[piece] = start[piece]
    return out
