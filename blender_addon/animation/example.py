"""The example animation: a few expressions one after another, a blink between them, neutral at the end."""

from __future__ import annotations

from collections.abc import Collection

from .actions import Curve

_SHOWN = ("brow_raiser", "smile", "lip_puckerer", "anger", "sadness", "grin")
_BLINKS = (("eyeBlinkLeft", "eyeBlinkRight"), ("eyes_closed",))

# Seconds. One expression goes while the next comes, so a pace is shorter than a whole expression.
_LEAD, _EASE, _HOLD = 0.4, 0.45, 0.65
_CLOSE, _OPEN = 0.08, 0.16  # lids fall faster than they rise
_STRENGTH = 0.9


def example_curves(names: Collection[str], start: int, rate: float) -> tuple[dict[str, Curve], int]:
    """Eased keyframes on whole frames by shape key, and the last frame.

    Args:
        names: The head's shape keys; those that are missing are left out of the play.
        start: First frame.
        rate: Frames a second.
    """
    lead, ease, hold, close, open_ = (
        max(1, round(seconds * rate)) for seconds in (_LEAD, _EASE, _HOLD, _CLOSE, _OPEN)
    )
    shown = [name for name in _SHOWN if name in names] or list(names)[: len(_SHOWN)]
    lids = next((lids for lids in _BLINKS if {*lids} <= {*names} - {*shown}), ())
    points: dict[str, list[tuple[int, float]]] = {name: [(start, 0.0)] for name in (*shown, *lids)}
    for number in range(len(shown) + 1):
        frame = start + lead + number * (ease + hold)
        if number < len(shown):
            points[shown[number]] += [
                (frame, 0.0),
                (frame + ease, _STRENGTH),
                (frame + ease + hold, _STRENGTH),
                (frame + 2 * ease + hold, 0.0),
            ]
        if number % 2 == 0:
            closed = frame + ease // 2  # in the middle of a change
            for name in lids:
                points[name] += [(closed - close, 0.0), (closed, 1.0), (closed + open_, 0.0)]
    end = frame + ease + lead
    for track in points.values():
        track.append((end, 0.0))
    return {name: tuple(zip(*track, strict=True)) for name, track in points.items()}, end
