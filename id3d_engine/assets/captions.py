"""Words for a head: captions with synonyms, so that text can ask for what the training heads show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .appearance import AppearanceParameters

_OPENINGS = ("a photo of", "a portrait of", "a 3d head of", "the head of", "a face of", "")

# (upper age in years, words for a girl or woman, words for a boy or man)
_PEOPLE: tuple[tuple[float, tuple[str, ...], tuple[str, ...]], ...] = (
    (3.0, ("cute baby", "baby girl", "baby", "toddler"), ("cute baby", "baby boy", "baby", "toddler")),
    (12.0, ("young girl", "girl", "child", "little girl"), ("young boy", "boy", "child", "little boy")),
    (19.0, ("teenage girl", "girl", "teenager"), ("teenage boy", "boy", "teenager")),
    (35.0, ("young woman", "woman", "woman in her twenties"), ("young man", "man", "man in his twenties")),
    (55.0, ("woman", "middle-aged woman", "adult woman"), ("man", "middle-aged man", "adult man")),
    (70.0, ("older woman", "mature woman"), ("older man", "mature man")),
    (999.0, ("old woman", "elderly woman", "grandmother"), ("old man", "elderly man", "grandfather")),
)

_STYLES: Mapping[str, tuple[str, ...]] = {
    "bald": ("bald", "a bald head", "no hair", "a shaved head"),
    "buzz": ("short buzzcut hairstyle", "a buzz cut", "very short cropped {} hair", "{} buzzcut hair"),
    "short": ("short {} hair", "{} short hairstyle", "neat short {} hair"),
    "side_part": ("short {} hair with a side parting", "side-parted {} hair", "combed {} hair"),
    "quiff": ("a {} quiff", "{} hair combed back", "voluminous short {} hair"),
    "bob": ("a {} bob", "medium-length {} hair", "chin-length {} hair", "{} bob hairstyle"),
    "long": ("long {} hair", "long {} hairstyle", "flowing {} hair"),
    "curly": ("curly {} hair", "{} curls", "short curly {} hair"),
    "afro": ("an afro", "{} afro hair", "a big {} afro hairstyle"),
    "receding": ("receding {} hair", "thinning {} hair", "a receding hairline"),
    "layered": ("a {} pixie cut", "layered {} hair", "a {} layered cut", "ear-length {} hair"),
    "bun": ("{} hair in a bun", "{} hair tied back", "a {} hair bun"),
}

_SKIN = (
    (0.15, ("very fair skin", "pale skin", "porcelain skin")),
    (0.35, ("fair skin", "light skin")),
    (0.55, ("tanned skin", "medium skin", "olive skin")),
    (0.75, ("brown skin", "bronze skin")),
    (1.01, ("dark skin", "deep brown skin", "black skin")),
)


def hair_colour_words(appearance: AppearanceParameters) -> tuple[str, ...]:
    """The words that fit the hair's colour, all of them true."""
    if appearance.hair_grey > 0.85:
        return ("white", "silver")
    if appearance.hair_grey > 0.45:
        return ("grey", "gray", "greying")
    if appearance.hair_red > 0.6 and 0.2 < appearance.hair_melanin < 0.75:
        return ("red", "ginger", "auburn")
    for limit, words in (
        (0.2, ("platinum blonde", "light blonde", "blonde")),
        (0.42, ("blonde", "blond", "golden")),
        (0.58, ("light brown", "brown")),
        (0.78, ("brown", "brunette", "chestnut")),
        (0.9, ("dark brown", "dark")),
    ):
        if appearance.hair_melanin < limit:
            return words
    return ("black", "jet black")


def eye_colour_words(appearance: AppearanceParameters) -> tuple[str, ...]:
    """The words that fit the iris."""
    if appearance.iris_melanin > 0.75:
        return ("dark brown eyes", "dark eyes", "brown eyes")
    if appearance.iris_melanin > 0.45:
        return ("brown eyes", "hazel eyes") if appearance.iris_hue > 0.6 else ("brown eyes",)
    for limit, words in ((0.34, ("blue eyes",)), (0.55, ("grey eyes", "gray eyes")), (0.8, ("green eyes",))):
        if appearance.iris_hue < limit:
            return words
    return ("hazel eyes", "amber eyes")


def caption(
    attributes: Mapping[str, float], appearance: AppearanceParameters, generator: np.random.Generator
) -> str:
    """One lower-case sentence about a head; another draw gives other words and other details.

    Args:
        attributes: `age` in years and `gender` (0 woman, 1 man), as `sample_asset` makes them;
            `weight` in [0, 1] if known.
        appearance: How the head is drawn.
        generator: Chooses the words and what is left unsaid.
    """
    a = appearance.clamped()

    def pick(words: tuple[str, ...]) -> str:
        return words[int(generator.integers(len(words)))]

    details = [(0.85, pick(_STYLES[a.style]).format(pick(hair_colour_words(a))))]
    details += [(0.35, pick(words)) for words in (_matching(_SKIN, a.melanin),)]
    details += [(0.25, pick(eye_colour_words(a)))]
    details += [(0.7, phrase) for phrase in _marks(a, attributes, pick)]
    said = [text for probability, text in details if generator.random() < probability]
    generator.shuffle(said)

    person = _person(attributes, pick)
    opening = pick(_OPENINGS)
    weight = float(attributes.get("weight", 0.5))
    if generator.random() < 0.5 and (weight > 0.75 or weight < 0.2):
        person = pick(("chubby", "round-faced") if weight > 0.75 else ("slim", "thin-faced")) + " " + person
    if said and said[0] == "bald" and generator.random() < 0.5:
        person, said = f"bald {person}", said[1:]
    article = "an" if person[0] in "aeiou" else "a"
    head = f"{opening} {article} {person}".strip()
    if not said:
        return head
    return f"{head} with {', '.join(said)}" if said[0] != "bald" else f"{head}, {', '.join(said)}"


def _matching(table: tuple[tuple[float, tuple[str, ...]], ...], value: float) -> tuple[str, ...]:
    return next(words for limit, words in table if value < limit)


def _person(attributes: Mapping[str, float], pick) -> str:
    age, gender = float(attributes["age"]), float(attributes["gender"])
    _, female, male = next(row for row in _PEOPLE if age < row[0])
    return pick(male if gender >= 0.5 else female)


def _marks(a: AppearanceParameters, attributes: Mapping[str, float], pick) -> list[str]:
    """Phrases for what stands out on this face."""
    marks = []
    if a.freckles > 0.35:
        marks.append(
            pick(("freckles", "many freckles") if a.freckles > 0.65 else ("freckles", "a few freckles"))
        )
    if a.beard > 0.55:
        marks.append(pick(("a full beard", "a thick beard", "a beard")))
    elif a.beard > 0.25:
        marks.append(pick(("a short beard", "a trimmed beard", "a beard")))
    elif a.stubble > 0.4:
        marks.append(pick(("stubble", "a stubble beard", "an unshaven face")))
    if a.moustache > 0.4 and a.beard <= 0.55:
        marks.append(pick(("a moustache", "a mustache")))
    if a.wrinkles > 0.5:
        marks.append(pick(("wrinkles", "wrinkled skin", "deep wrinkles")))
    if a.makeup > 0.5:
        marks.append(
            pick(("make-up", "makeup", "red lipstick") if a.lip_red > 0.6 else ("make-up", "makeup"))
        )
    if a.brow_thickness > 0.75 and a.brow_density > 0.5:
        marks.append(pick(("thick eyebrows", "bushy eyebrows")))
    if a.redness > 0.75 and a.melanin < 0.4:
        marks.append(pick(("rosy cheeks", "red cheeks")))
    return marks
