"""The example animation: a few expressions one after another, a blink between them, neutral at the end."""

from __future__ import annotations

from collections.abc import Collection

from .actions import Curve

_SHOWN = ("brow_raiser", "smile", "lip_puckerer", "anger", "sadness", "grin")
_BLINKS = (("eyeBlinkLeft", "eyeBlinkRight"), ("eyes_closed",))

# Seconds. One expression goes while the next comes, so a pace is shorter than a whole expression.
_LEAD, _EASE, _HOLD = 0.4, 0.45, 0.65
_PACE = _EASE + _HOLD
_CLOSE, _OPEN = 0.08, 0.16  # lids fall faster than they rise
_STRENGTH = 0.9


def example_curves(names: Collection[str], start: float, rate: float) -> tuple[dict[str, Curve], float]:
    """Eased keyframes by shape key, and the last frame.

    Args:
        names: The head's shape keys; those that are missing are left out of the play.
        start: First frame.
        rate: Frames a second.
    """
    shown = [name for name in _SHOWN if name in names] or list(names)[: len(_SHOWN)]
    lids = next((lids for lids in _BLINKS if {*lids} <= {*names}), ())
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in (*shown, *lids)}
    time = _LEAD
    for name in shown:
        points[name] += _bump(time, _EASE, _HOLD, _EASE, _STRENGTH)
        time += _PACE
    end = time + _EASE + _LEAD
    if not {*lids} & {*shown}:
        for number in range(0, len(shown) + 1, 2):
            # The lids meet in the middle of a change of expression.
            change = _LEAD + number * _PACE + _EASE / 2
            for name in lids:
                points[name] += _bump(change - _CLOSE, _CLOSE, 0.0, _OPEN, 1.0)
    curves = {}
    for name, pairs in points.items():
        seconds, values = zip((0.0, 0.0), *pairs, (end, 0.0), strict=True)
        curves[name] = ([start + second * rate for second in seconds], values)
    return curves, start + end * rate


def _bump(begin: float, up: float, hold: float, down: float, height: float) -> list[tuple[float, float]]:
    """(second, value): from 0 to `height`, stay, and back."""
    top = [(begin + up, height)] + ([(begin + up + hold, height)] if hold else [])
    return [(begin, 0.0), *top, (begin + up + hold + down, 0.0)]
