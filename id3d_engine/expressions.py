"""The expression vocabulary: 13 FaceWarehouse expressions and Apple's 52 ARKit units.

Each FaceWarehouse expression has a text descriptor (what the priors' CLIP text encoder reads as
`y_exp`) and a recipe in ARKit units (where the template starts from before it is refined).
ARKit names are spelled exactly as Apple spells them; trackers bind to them by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import InputError

ARKIT_NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight",
    "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip


_SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")


def side(name: str) -> int:
    """1 for a unit of the head's own left (x > 0), -1 for one of its right, 0 for what moves both."""
    if name in _SIDEWAYS:
        return 0
    return 1 if name.endswith("Left") else -1 if name.endswith("Right") else 0


@dataclass(frozen=True)
class Expression:
    """One expression of the vocabulary.

    Attributes:
        name: FaceWarehouse name, also the shape key's name.
        descriptor: What the priors' text encoder reads as `y_exp`.
        recipe: ARKit unit -> weight in [0, 1], the template's starting pose.
    """

    name: str
    descriptor: str
    recipe: Mapping[str, float]


def _both(unit: str, weight: float) -> dict[str, float]:
    return {f"{unit}Left": weight, f"{unit}Right": weight}


NEUTRAL = Expression("neutral", "a neutral face, relaxed, mouth closed", {})

EXPRESSIONS: tuple[Expression, ...] = (
    Expression(
        "mouth_stretch",
        "mouth stretched wide open, jaw dropped",
        {"jawOpen": 0.9, **_both("mouthStretch", 0.35), **_both("mouthLowerDown", 0.25)},
    ),
    Expression(
        "smile",
        "a closed-mouth smile, lip corners pulled up",
        {**_both("mouthSmile", 0.8), **_both("cheekSquint", 0.5), **_both("mouthDimple", 0.15)},
    ),
    Expression(
        "brow_lower",
        "eyebrows lowered and drawn together, frowning",
        {**_both("browDown", 1.0), **_both("eyeSquint", 0.3)},
    ),
    Expression(
        "brow_raiser",
        "eyebrows raised high, surprised eyes",
        {"browInnerUp": 1.0, **_both("browOuterUp", 1.0), **_both("eyeWide", 0.5)},
    ),
    Expression(
        "anger",
        "an angry face, brows down, nose wrinkled, lips pressed",
        {**_both("browDown", 0.9), **_both("noseSneer", 0.8), **_both("eyeSquint", 0.5),
         **_both("mouthPress", 0.5), **_both("mouthFrown", 0.4)},
    ),
    Expression("jaw_left", "jaw shifted to the left", {"jawLeft": 1.0, "mouthLeft": 0.35}),
    Expression("jaw_right", "jaw shifted to the right", {"jawRight": 1.0, "mouthRight": 0.35}),
    Expression("lip_puckerer", "lips puckered as for a kiss", {"mouthPucker": 1.0}),
    Expression(
        "lip_funneler", "lips funnelled into an open round O",
        {"mouthFunnel": 1.0, "jawOpen": 0.25},
    ),
    Expression(
        "sadness",
        "a sad face, inner brows raised, mouth corners down",
        {"browInnerUp": 0.9, **_both("mouthFrown", 0.9), "mouthShrugLower": 0.4,
         **_both("eyeSquint", 0.2)},
    ),
    Expression(
        "grin",
        "a broad grin showing the teeth",
        {**_both("mouthSmile", 0.8), **_both("mouthUpperUp", 1.0), **_both("mouthLowerDown", 0.35),
         **_both("mouthStretch", 0.3), **_both("cheekSquint", 0.6), "jawOpen": 0.06},
    ),
    Expression("cheek_blowing", "cheeks puffed out with air", {"cheekPuff": 1.0, "mouthPucker": 0.2}),
    Expression("eyes_closed", "both eyes closed", _both("eyeBlink", 1.0)),
)  # fmt: skip

EXPRESSION_NAMES: tuple[str, ...] = tuple(e.name for e in EXPRESSIONS)


def select(names: str | Sequence[str]) -> tuple[Expression, ...]:
    """Expressions by name, in vocabulary order.

    Args:
        names: `"all"`, one comma-separated string, or a sequence of names.

    Raises:
        InputError: a name is not in the vocabulary, or none is given.
    """
    if names == "all":
        return EXPRESSIONS
    wanted = [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    wanted = [n for n in wanted if n and n != "neutral"]
    unknown = [n for n in wanted if n not in EXPRESSION_NAMES]
    if unknown:
        raise InputError(
            f"unknown expression {unknown[0]!r}: choose 'all' or any of {', '.join(EXPRESSION_NAMES)}"
        )
    if not wanted:
        raise InputError("no expression was given: choose 'all' or name at least one")
    return tuple(e for e in EXPRESSIONS if e.name in wanted)
