"""Draw training heads from a seed: who they are, how they are shaped and what they look like.

Seeds from `HELD_OUT_FIRST_SEED` on are kept for testing and must not be trained on. The same seed
gives the same bytes. Each aspect has a random stream of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..expressions import ARKIT_NAMES, EXPRESSIONS
from ..rig.lids import BLINKS
from ..rig.units import pose, transfer_units
from ..subjects import ATTRIBUTES, sample_attributes
from ..template import HeadTemplate
from .appearance import HAIR_STYLES, AppearanceParameters
from .asset import HeadAsset, Offsets
from .captions import caption
from .hair import hair_offsets

HELD_OUT_FIRST_SEED = 1_000_000

# Odds of hair styles, in the order of HAIR_STYLES:
#  bald buzz short side_part quiff bob long curly afro receding bun layered
_STYLE_ODDS = {
    "baby": (0.30, 0.30, 0.35, 0.0, 0.0, 0.0, 0.0, 0.05, 0.0, 0.0, 0.0, 0.0),
    "girl": (0.0, 0.02, 0.08, 0.05, 0.0, 0.25, 0.38, 0.10, 0.02, 0.0, 0.10, 0.06),
    "boy": (0.01, 0.15, 0.46, 0.18, 0.05, 0.02, 0.02, 0.07, 0.0, 0.0, 0.0, 0.12),
    "woman": (0.01, 0.02, 0.04, 0.03, 0.02, 0.28, 0.34, 0.10, 0.02, 0.0, 0.12, 0.15),
    "man": (0.10, 0.17, 0.29, 0.17, 0.11, 0.01, 0.03, 0.06, 0.01, 0.05, 0.0, 0.03),
    "old woman": (0.02, 0.02, 0.20, 0.06, 0.02, 0.28, 0.06, 0.14, 0.0, 0.0, 0.10, 0.34),
    "old man": (0.24, 0.12, 0.18, 0.12, 0.02, 0.0, 0.01, 0.02, 0.0, 0.29, 0.0, 0.0),
}


def sample_asset(template: HeadTemplate, seed: int, *, held_out: bool = False) -> HeadAsset:
    """The head of a seed, without any 3D data set.

    Attributes are drawn by `subjects.sample_attributes`, shape by the template's model of shape
    given attributes, appearance by `sample_appearance`. Expressions are the template's in the head's own
    shape, each unit some 12 % stronger or weaker.

    Args:
        template: The topology, its shape basis and its ARKit units.
        seed: Not negative. Below `HELD_OUT_FIRST_SEED` for training.
        held_out: Move the seed into the range that is kept for testing.
    """
    if held_out and seed < HELD_OUT_FIRST_SEED:
        seed += HELD_OUT_FIRST_SEED
    who, form, look, face, words = (
        np.random.default_rng(child) for child in np.random.SeedSequence((0x1D3D, seed)).spawn(5)
    )
    row = sample_attributes(1, who)
    attributes = dict(zip(ATTRIBUTES, row[0].astype(float).tolist(), strict=True))
    shape = np.clip(template.given_attributes.sample(row, form)[0], -4.0, 4.0).astype(np.float32)
    appearance = sample_appearance(attributes, look, texture_seed=seed % 2**31)
    skin = template.shape(shape)
    neutral = (skin + hair_offsets(template, skin, appearance)).astype(np.float32)
    gains = _unit_gains(face)
    units = Offsets(
        lambda: {name: gains[name] * unit for name, unit in transfer_units(template, skin).items()}
    )
    expressions = Offsets(lambda: {e.name: pose(units, e.recipe) for e in EXPRESSIONS})
    text = caption(attributes, appearance, words)
    return HeadAsset(seed, shape, skin, neutral, units, expressions, appearance, text, attributes)


def random_mixture(
    units: Mapping[str, NDArray[np.float32]],
    generator: np.random.Generator,
    *,
    most: int = 4,
    strength: float = 0.7,
) -> NDArray[np.float32]:
    """(V, 3) offsets of a few random ARKit units, left and right alike half of the time.

    Args:
        units: The head's own.
        generator: Chooses units and weights.
        most: At most this many, at least 1.
        strength: The largest weight.
    """
    recipe: dict[str, float] = {}
    for name in generator.choice(ARKIT_NAMES, size=1 + int(generator.integers(most)), replace=False):
        weight = float(generator.uniform(0.2, 1.0)) * strength
        recipe[str(name)] = weight
        other = _other_side(str(name))
        if other and generator.random() < 0.5:
            recipe[other] = weight
    return pose(units, recipe)


def sample_appearance(
    attributes: Mapping[str, float], random: np.random.Generator, texture_seed: int = 0
) -> AppearanceParameters:
    """An appearance that fits age, gender and ancestry.

    Skin darkness: the ancestry-weighted mean of 0.80 (african), 0.33 (asian), 0.14 (caucasian), sigma
    0.07. One ancestor, drawn by those shares, gives hair and eyes: of caucasian ancestors 25 %
    blond, 7 % red-haired, 45 % light-eyed; the others dark. Hair greys about an onset of N(50, 9)
    years, wrinkles grow from 30 years on. Of men from 17 on 35 % are clean-shaven, 27 % stubbly, 20 %
    bearded, 10 % wear a chin beard, 8 % a moustache. 45 % of women from 15 on wear make-up.
    """
    age, male = attributes["age"], attributes["gender"] >= 0.5
    shares = np.array([attributes[k] for k in ("african", "asian", "caucasian")], float)
    ancestor = ("african", "asian", "caucasian")[random.choice(3, p=shares / shares.sum())]
    adult = age >= 16

    def normal(mean: float, sigma: float) -> float:
        return float(np.clip(mean + sigma * random.standard_normal(), 0.0, 1.0))

    melanin = normal(float(shares @ (0.80, 0.33, 0.14)), 0.07)
    hair_melanin, hair_red = _hair_pigment(ancestor, age, random)
    iris_melanin, iris_hue = _iris(ancestor, random)
    freckled = random.random() < (0.12 + 0.5 * hair_red) * (melanin < 0.4) * (age > 4)
    onset = random.normal(50, 9)
    grey = float(np.clip((age - onset) / 25, 0, 1)) * (0.35 if not male and random.random() < 0.5 else 1.0)
    wrinkles = normal(max(0.0, (age - 30) / 52) ** 1.25, 0.07) if age > 24 else 0.0
    style = _style(age, male, ancestor, random)
    curl = normal({"african": 0.85, "asian": 0.12, "caucasian": 0.3}[ancestor], 0.15)
    stubble, beard, moustache = _beard(age, male, random)
    makeup = float(random.uniform(0.2, 0.95)) if not male and age >= 15 and random.random() < 0.45 else 0.0
    receding = 0.10 if male and age > 40 else 0.0
    logits = 0.25 * random.standard_normal(len(HAIR_STYLES))
    logits[HAIR_STYLES.index(style)] = 2.0
    return AppearanceParameters(
        melanin=melanin,
        haemoglobin=normal(0.5, 0.2),
        undertone=normal(0.45 + 0.2 * shares[1], 0.15),
        unevenness=normal(0.25 if age < 12 else 0.45 + 0.2 * wrinkles, 0.15),
        freckles=float(random.uniform(0.3, 1.0)) if freckled else normal(0.0, 0.05),
        redness=normal(0.5 if age < 8 else 0.3, 0.16),
        wrinkles=wrinkles,
        spots=normal(0.05 + 0.55 * wrinkles, 0.12),
        under_eye=normal(0.12 if age < 12 else 0.3 + 0.3 * wrinkles, 0.15),
        lip_red=normal(0.20 if male else 0.42, 0.15),
        lip_dark=normal(0.18 + 0.35 * melanin, 0.12),
        brow_density=normal(0.3 if age < 4 else 0.72 if male else 0.6, 0.15),
        brow_thickness=normal(0.62 if male and adult else 0.38, 0.16),
        brow_arch=normal(0.38 if male else 0.58, 0.18),
        brow_tone=normal(0.5, 0.15),
        iris_melanin=iris_melanin,
        iris_hue=iris_hue,
        hair_melanin=hair_melanin,
        hair_red=hair_red,
        hair_grey=grey,
        hairline=normal(0.45 + receding, 0.15),
        hair_volume=normal(0.2 if age < 3 else 0.5, 0.2),
        hair_curl=curl,
        parting=float(random.choice([0.1, 0.2, 0.5, 0.5, 0.8, 0.9])),
        stubble=stubble,
        beard=beard,
        moustache=moustache,
        makeup=makeup,
        style_logits=tuple(logits.tolist()),
        texture_seed=texture_seed,
    ).exact()


def _hair_pigment(ancestor: str, age: float, random: np.random.Generator) -> tuple[float, float]:
    if ancestor != "caucasian":
        return float(random.uniform(0.84, 1.0)), float(random.uniform(0.0, 0.25))
    draw = random.random()
    if draw < 0.07:
        return float(random.uniform(0.28, 0.6)), float(random.uniform(0.7, 1.0))
    child = 0.12 if age < 10 else 0.0
    if draw < 0.32:
        return float(random.uniform(0.05, 0.38)), float(random.uniform(0.0, 0.3))
    if draw < 0.82:
        return float(random.uniform(0.42, 0.78)) - child, float(random.uniform(0.05, 0.45))
    return float(random.uniform(0.8, 1.0)), float(random.uniform(0.0, 0.2))


def _iris(ancestor: str, random: np.random.Generator) -> tuple[float, float]:
    if ancestor != "caucasian":
        return float(random.uniform(0.72, 1.0)), float(random.uniform(0.4, 1.0))
    draw = random.random()
    if draw < 0.32:
        return float(random.uniform(0.0, 0.15)), float(random.uniform(0.0, 0.35))
    if draw < 0.45:
        return float(random.uniform(0.0, 0.2)), float(random.uniform(0.4, 0.75))
    if draw < 0.60:
        return float(random.uniform(0.2, 0.45)), float(random.uniform(0.75, 1.0))
    return float(random.uniform(0.5, 1.0)), float(random.uniform(0.4, 1.0))


def _style(age: float, male: bool, ancestor: str, random: np.random.Generator) -> str:
    if age < 2.5:
        group = "baby"
    elif age < 14:
        group = "boy" if male else "girl"
    elif age < 58:
        group = "man" if male else "woman"
    else:
        group = "old man" if male else "old woman"
    odds = np.array(_STYLE_ODDS[group])
    if ancestor == "african" and age >= 2.5:
        likely = {
            "afro": 8.0,
            "curly": 2.5,
            "buzz": 2.0,
            "side_part": 0.3,
            "quiff": 0.3,
            "long": 0.5,
            "bob": 0.6,
            "layered": 0.2,
        }
        odds = odds * np.array([likely.get(name, 1.0) for name in HAIR_STYLES])
    return HAIR_STYLES[random.choice(len(odds), p=odds / odds.sum())]


def _beard(age: float, male: bool, random: np.random.Generator) -> tuple[float, float, float]:
    """Stubble, beard and moustache."""
    draw, shade, full, lip = random.random(), random.random(), random.random(), random.random()
    if not male or age < 17:
        return 0.0, 0.0, 0.0
    young = 0.6 if age < 22 else 1.0
    if draw < 0.35:
        return 0.22 * shade * young, 0.0, 0.0
    if draw < 0.62:
        return (0.35 + 0.6 * shade) * young, 0.0, 0.0
    if draw < 0.82:
        return 0.3 + 0.4 * shade, (0.55 + 0.45 * full) * young, (0.55 + 0.45 * lip) * young
    if draw < 0.92:
        return 0.2 + 0.4 * shade, 0.25 + 0.15 * full, 0.3 + 0.6 * lip
    return 0.1 + 0.3 * shade, 0.0, 0.6 + 0.4 * lip


def _unit_gains(random: np.random.Generator) -> dict[str, float]:
    """How strongly this person moves each unit: N(1, 0.12), the two sides within some 4 %.

    Everybody's lids close, and no further.
    """
    gains: dict[str, float] = {}
    for name in ARKIT_NAMES:
        other = _other_side(name)
        both = gains[other] if other in gains else float(np.clip(random.normal(1.0, 0.12), 0.7, 1.3))
        gains[name] = both * float(np.clip(random.normal(1.0, 0.04), 0.9, 1.1))
    return gains | dict.fromkeys(BLINKS.values(), 1.0)


def _other_side(name: str) -> str:
    """The same unit on the other side, "" for a unit that has none."""
    if name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        return ""
    if name.endswith("Left"):
        return name.removesuffix("Left") + "Right"
    return name.removesuffix("Right") + "Left" if name.endswith("Right") else ""
