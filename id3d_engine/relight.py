"""A finished head under another light: its maps carry no light, so any light will do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .head import Head

LIGHTS = ("front", "back", "direct", "diffuse")
AZIMUTHS_DEG = (-40.0, 0.0, 40.0)


def render_relit(
    head: Head, light: str, *, expression: str = "neutral", size: int = 512
) -> NDArray[np.uint8]:
    """(size, 3 * size, 3) uint8 sRGB: three views under one light.

    Args:
        light: `front`, `back`, `direct` (one hard lamp) or `diffuse` (an overcast sky).
        expression: `neutral` or a shape key.

    Raises:
        InputError: an unknown light or expression.
    """
    from .portrait import Sitter
    from .render.lights import preset

    if light not in LIGHTS:
        raise InputError(f"unknown light {light!r}: choose one of {', '.join(LIGHTS)}")
    pictures = Sitter(head, smoothing=2).shaded(expression, AZIMUTHS_DEG, preset(light), size)
    return np.concatenate(list(pictures), axis=1)
