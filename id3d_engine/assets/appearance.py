"""What a head looks like, in numbers: skin, eyes, brows, lips, hair and beard.

Every number is continuous, and what is a choice (the hair style) is one logit each, so that a plain
regressor can predict the whole of it. Any real vector is a valid appearance: whoever draws it reads
the numbers through `AppearanceParameters.clamped`, never raw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

HAIR_STYLES: tuple[str, ...] = (
    "bald", "buzz", "short", "side_part", "quiff", "bob", "long", "curly", "afro", "receding", "bun",
    "layered",
)  # fmt: skip

# A number x in [0, 1] is stored in the vector as 4 (x - 1/2): powers of two, so that the way there and
# back is exact, and unit scale, since a uniform x has a standard deviation of 1.15 there.
_SCALE = 4.0
_MIDDLE = 0.5


@dataclass(frozen=True)
class AppearanceParameters:
    """Everything `author_textures` and `hair_offsets` need. Floats are meant to lie in [0, 1].

    Attributes:
        melanin: Skin darkness, 0 very fair, 1 very dark.
        haemoglobin: Blood in the skin, 0 pale, 1 ruddy.
        undertone: 0 cool and pink, 1 warm and olive.
        unevenness: Strength of blotches, pores and mottle.
        freckles: 0 none, 1 covered.
        redness: Red nose, cheeks and ears.
        wrinkles: Age lines, 0 none, 1 deep.
        spots: Age spots and moles.
        under_eye: Dark rings below the eyes.
        lip_red: Lip colour against the skin, 0 pale, 1 red.
        lip_dark: 0 light lips, 1 dark lips.
        brow_density: 0 hardly any hairs, 1 full.
        brow_thickness: 0 thin, 1 bushy.
        brow_arch: 0 flat, 1 high arch.
        brow_tone: 0 as light as blond, 1 black, apart from the hair's own colour.
        iris_melanin: 0 light iris, 1 dark brown.
        iris_hue: Of a light iris: 0 blue, 0.5 grey-green, 1 hazel.
        hair_melanin: 0 platinum blond, 1 black.
        hair_red: 0 ash, 1 red.
        hair_grey: 0 none, 1 white.
        hairline: 0 low on the forehead, 1 high.
        hair_volume: How far the hair stands off the scalp.
        hair_curl: 0 straight, 1 tightly curled.
        parting: 0 parted on the head's own right, 0.5 in the middle, 1 on its left.
        stubble: Short beard hairs, 0 clean-shaven.
        beard: Full beard on chin and jaw.
        moustache: Hair on the upper lip.
        makeup: Eye shadow, eyeliner, rouge and lipstick.
        style_logits: One per `HAIR_STYLES`; the largest is drawn.
        texture_seed: Places freckles, strands and blotches; not part of the vector.
    """

    melanin: float = 0.25
    haemoglobin: float = 0.5
    undertone: float = 0.5
    unevenness: float = 0.5
    freckles: float = 0.0
    redness: float = 0.4
    wrinkles: float = 0.1
    spots: float = 0.1
    under_eye: float = 0.3
    lip_red: float = 0.5
    lip_dark: float = 0.4
    brow_density: float = 0.6
    brow_thickness: float = 0.5
    brow_arch: float = 0.5
    brow_tone: float = 0.6
    iris_melanin: float = 0.6
    iris_hue: float = 0.3
    hair_melanin: float = 0.65
    hair_red: float = 0.2
    hair_grey: float = 0.0
    hairline: float = 0.45
    hair_volume: float = 0.5
    hair_curl: float = 0.2
    parting: float = 0.5
    stubble: float = 0.0
    beard: float = 0.0
    moustache: float = 0.0
    makeup: float = 0.0
    style_logits: tuple[float, ...] = field(default_factory=lambda: style_logits("short"))
    texture_seed: int = 0

    @property
    def style(self) -> str:
        """The hair style that is drawn: the largest logit's name (the first of equals)."""
        return HAIR_STYLES[int(np.argmax(np.nan_to_num(np.asarray(self.style_logits))))]

    def to_vector(self) -> NDArray[np.float32]:
        """(len(VECTOR_NAMES),) float32, of roughly unit scale; the texture seed is left out."""
        values = np.array([getattr(self, name) for name in _FLOATS])
        return np.concatenate([_SCALE * (values - _MIDDLE), self.style_logits]).astype(np.float32)

    @classmethod
    def from_vector(
        cls, vector: NDArray[np.floating] | Sequence[float], texture_seed: int = 0
    ) -> AppearanceParameters:
        """The inverse of `to_vector`; nothing is clamped, so the way back gives the same vector.

        Raises:
            InputError: the vector has not `len(VECTOR_NAMES)` entries.
        """
        values = np.asarray(vector, dtype=np.float64)
        if values.shape != (len(VECTOR_NAMES),):
            raise InputError(
                f"an appearance vector has {len(VECTOR_NAMES)} entries, not shape {values.shape}: "
                "use one that to_vector() made with this version"
            )
        split = len(_FLOATS)
        numbers = values[:split] / _SCALE + _MIDDLE
        named = dict(zip(_FLOATS, numbers.tolist(), strict=True))
        return cls(**named, style_logits=tuple(values[split:].tolist()), texture_seed=texture_seed)

    def record(self) -> dict[str, Any]:
        """By name, as JSON holds it."""
        return asdict(self) | {"style_logits": list(self.style_logits)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> AppearanceParameters:
        """The inverse of `record`.

        Raises:
            InputError: a name is unknown or a value is no number.
        """
        try:
            numbers = {name: float(record[name]) for name in _FLOATS}
            logits = tuple(float(value) for value in record["style_logits"])
            look = cls(**numbers, style_logits=logits, texture_seed=int(record["texture_seed"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"this is no record of a head's look ({error}): make the head again") from error
        return cls.from_vector(look.to_vector(), look.texture_seed)

    def clamped(self) -> AppearanceParameters:
        """The same with every number inside [0, 1] (what is not a number becomes 0.5): safe to draw."""
        numbers = np.clip(np.nan_to_num([getattr(self, name) for name in _FLOATS], nan=0.5), 0.0, 1.0)
        return replace(self, **dict(zip(_FLOATS, numbers.tolist(), strict=True)))

    def exact(self) -> AppearanceParameters:
        """The same rounded so that it survives `to_vector` and back without a change."""
        return self.from_vector(self.to_vector(), self.texture_seed)


_FLOATS: tuple[str, ...] = tuple(
    f.name for f in fields(AppearanceParameters) if f.name not in ("style_logits", "texture_seed")
)

VECTOR_NAMES: tuple[str, ...] = (*_FLOATS, *(f"style_{name}" for name in HAIR_STYLES))
"""What each entry of `AppearanceParameters.to_vector` is."""


def style_logits(style: str, sharpness: float = 2.0) -> tuple[float, ...]:
    """Logits that choose `style`: `sharpness` for it, 0 for the others.

    Raises:
        InputError: `style` is not in `HAIR_STYLES`.
    """
    if style not in HAIR_STYLES:
        raise InputError(f"unknown hair style {style!r}: choose one of {', '.join(HAIR_STYLES)}")
    return tuple(sharpness if name == style else 0.0 for name in HAIR_STYLES)
