"""What a text asks of a head, in numbers: the way back from `captions.py`, with more words.

    read_wishes("an old man with short grey hair, without a beard")

A text is read word by word: adjectives gather until a noun comes and then say something of it ("short grey"
of "hair"), a few phrases and single words mean one thing wherever they stand ("bald", "combed back"), and
"no" and "without" take away what follows up to the next comma or "with". What is not known here is told back
in `Wishes.unread`; a prior may know it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Numbers = Mapping[str, float]
Range = tuple[float, float, float]
T = TypeVar("T")


@dataclass
class Wishes:
    """What a text asks for; what it leaves open is not here.

    Attributes:
        person: Name in `subjects.ATTRIBUTES` -> (lowest, highest, aim): who lies outside goes to the aim.
        numbers: Name in `AppearanceParameters` -> its value in [0, 1].
        style: One of `HAIR_STYLES`.
        unread: Words that mean nothing here, in order.
    """

    person: dict[str, Range] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    style: str | None = None
    unread: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.person or self.numbers or self.style)


# Phrases that are one thing, longest first where one holds another; "=" joins words to one adjective.
_JOINED = (
    (r"\b(?:bright )?red lipstick\b", "red=lipstick"),
    (r"\b(very fair|platinum blonde?|light blonde?|dark blonde?|strawberry blonde?|light brown|dark brown|"
     r"jet black|deep brown|middle aged|very short|side part\w*|combed back|slicked back|brushed back|"
     r"tied back|shaved head|no hair|clean shaven|medium length|chin length|ear length|shoulder length|"
     r"make up|voluminous short|receding hairline|stubble beard|(?:round|thin) faced?)\b", None),
    (r"\b(dark (?:circles|rings)|bags)(?: (?:under|below|around)(?: (?:the|her|his))? eyes)?\b", "tired"),
    (r"\bbuzz ?cuts?\b|\bcrew cut\b", "buzzcut"),
    (r"\bpixie(?: cut)?\b|\blayered cut\b", "layered"),
    (r"\b(\w+) skinned\b", r"\1 skin"),
    (r"\b(\w+) haired\b", r"\1 hair"),
    (r"\b(\w+) eyed\b", r"\1 eyes"),
    (r"\bponytail\b", "bun"),
)  # fmt: skip


def _each(words: str, said: T) -> dict[str, T]:
    """Every one of these words says the same."""
    return dict.fromkeys(words.split(), said)


_FILLER = frozenset(
    _each(
        "a an the of as in on to be is are his her their its him them it this that very really quite more "
        "some head photo portrait picture 3d render face faced cute big small large huge person human people "
        "style look looking make made she he they any or nor year old colour color coloured colored many few "
        "little adult neat natural beautiful handsome pretty",
        None,
    )
)
_BREAKS = frozenset({"and", "with", "but", "having", "has", "plus"})
_NEGATIONS = frozenset({"no", "not", "without"})

_FEMALE, _MALE = {"gender": (0.0, 0.35, 0.05)}, {"gender": (0.65, 1.0, 0.95)}
_GROWN = {"age": (18.0, 88.0, 30.0)}
_BABY, _TEEN = {"age": (1.0, 3.0, 2.0)}, {"age": (13.0, 19.0, 16.0)}
_CHILD, _YOUNG = {"age": (4.0, 12.0, 8.0)}, {"age": (4.0, 34.0, 24.0)}
_AGED = {"age": (68.0, 88.0, 77.0)}

# What a single word or joined phrase says of the person, wherever it stands. A later one narrows an
# earlier: "old" after "man" is a man of 77.
_PERSON: Mapping[str, Mapping[str, Range]] = {
    **_each("baby toddler infant", _BABY),
    **_each("child kid", _CHILD),
    "girl": {**_FEMALE, "age": (4.0, 19.0, 11.0)},
    "boy": {**_MALE, "age": (4.0, 19.0, 11.0)},
    **_each("teenager teen teenage adolescent", _TEEN),
    **_each("woman lady", {**_FEMALE, **_GROWN}),
    **_each("man gentleman guy", {**_MALE, **_GROWN}),
    **_each("grandmother grandma granny", {**_FEMALE, **_AGED}),
    **_each("grandfather grandpa", {**_MALE, **_AGED}),
    **_each("female feminine", _FEMALE),
    **_each("male masculine", _MALE),
    **_each("chubby round=faced round=face fat heavy overweight", {"weight": (0.75, 1.0, 0.9)}),
    **_each("slim thin=faced thin=face skinny gaunt lean", {"weight": (0.0, 0.22, 0.1)}),
    "muscular": {"muscle": (0.75, 1.0, 0.9)},
    "african": {"african": (0.5, 1.0, 0.9)},
    "asian": {"asian": (0.5, 1.0, 0.9)},
    **_each("caucasian european", {"caucasian": (0.5, 1.0, 0.9)}),
    "young": _YOUNG,
    "middle=aged": {"age": (36.0, 58.0, 46.0)},
    **_each("older mature", {"age": (55.0, 70.0, 63.0)}),
    **_each("old elderly aged", _AGED),
}  # fmt: skip
_DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties")

_NO_BEARD = {"beard": 0.0, "moustache": 0.0, "stubble": 0.0}
_FULL_BEARD = {"beard": 0.9, "moustache": 0.8, "stubble": 0.6}
_SHORT_BEARD = {"beard": 0.35, "moustache": 0.55, "stubble": 0.6}
_STUBBLE = {"beard": 0.0, "moustache": 0.0, "stubble": 0.8}

# Words that say one thing of the look, wherever they stand: numbers, and those of "no" before them.
_NOUNS: Mapping[str, tuple[Numbers, Numbers]] = {
    "beard": ({"beard": 0.75, "moustache": 0.75, "stubble": 0.5}, _NO_BEARD),
    "goatee": ({"beard": 0.35, "moustache": 0.65, "stubble": 0.2}, _NO_BEARD),
    **_each("stubble stubbly unshaven stubble=beard", (_STUBBLE, {"stubble": 0.0})),
    **_each("clean=shaven beardless shaven", (_NO_BEARD, {})),
    **_each("moustache mustache", ({"moustache": 0.9}, {"moustache": 0.0})),
    **_each("freckles freckled freckle", ({"freckles": 0.7}, {"freckles": 0.0})),
    **_each("wrinkles wrinkled wrinkly", ({"wrinkles": 0.8}, {"wrinkles": 0.0})),
    **_each("make=up makeup", ({"makeup": 0.75}, {"makeup": 0.0})),
    "red=lipstick": ({"makeup": 0.75, "lip_red": 0.9}, {}),
    "lipstick": ({"makeup": 0.7, "lip_red": 0.75}, {"makeup": 0.0}),
    **_each("moles spots", ({"spots": 0.8}, {"spots": 0.0})),
    "tired": ({"under_eye": 0.9}, {}),
    **_each("eyebrows brows eyebrow", ({}, {"brow_density": 0.0})),
    **_each("hair hairs hairstyle haircut locks hairline", ({}, {})),
    **_each("curls bob bun quiff afro buzzcut fringe", ({}, {})),
    **_each("eyes eye irises", ({}, {})),
    **_each("skin complexion", ({}, {})),
    **_each("cheeks nose", ({}, {"redness": 0.1})),
    **_each("lips mouth", ({}, {})),
}

# Of whom a noun's adjectives speak.
_TOPICS: Mapping[str, str] = {
    **dict.fromkeys(
        ("hair", "hairs", "hairstyle", "haircut", "locks", "hairline", "fringe", "buzzcut"), "hair"
    ),
    **_each("curls bob bun quiff afro", "hair"),
    **_each("eyes eye irises", "eyes"),
    **_each("skin complexion", "skin"),
    **_each("eyebrows brows eyebrow", "brows"),
    **_each("lips mouth lipstick", "lips"),
    **_each("moustache mustache goatee stubble", "beard"),
    **_each("cheeks nose", "cheeks"),
    **{name: name for name in ("beard", "freckles", "wrinkles", "makeup")},
    "make=up": "makeup",
}

# Names of hair styles; "short" and "long" give way to these ("short hair with a side parting").
_STYLES: Mapping[str, str] = {
    **_each("bald shaved=head no=hair hairless", "bald"),
    **_each("buzzcut cropped very=short", "buzz"),
    **_each("side=part side=parting side=parted combed parted", "side_part"),
    **_each("quiff combed=back slicked=back brushed=back voluminous=short", "quiff"),
    **_each("bob medium=length chin=length shoulder=length", "bob"),
    **_each("layered ear=length", "layered"),
    **_each("bun tied=back", "bun"),
    **_each("receding thinning receding=hairline", "receding"),
    "afro": "afro",
}
_LENGTHS: Mapping[str, str] = {"long": "long", "flowing": "long", "short": "short"}
_CURLS: Mapping[str, float] = {"curly": 0.85, "curled": 0.8, "curls": 0.85, "wavy": 0.5, "straight": 0.05}


def _pigment(melanin: float, red: float = 0.15, grey: float = 0.0) -> Numbers:
    return {"hair_melanin": melanin, "hair_red": red, "hair_grey": grey}


_HAIR_COLOURS: Mapping[str, Numbers] = {
    **_each("platinum=blonde platinum=blond platinum", _pigment(0.05, 0.05)),
    **_each("light=blonde light=blond", _pigment(0.12)),
    **_each("blonde blond golden fair", _pigment(0.26)),
    **_each("dark=blonde dark=blond", _pigment(0.40)),
    **_each("strawberry=blonde strawberry=blond", _pigment(0.28, 0.65)),
    **_each("light=brown light", _pigment(0.50)),
    **_each("brown chestnut brunette", _pigment(0.68)),
    **_each("dark=brown dark", _pigment(0.85, 0.1)),
    **_each("black jet=black", _pigment(0.98, 0.05)),
    **_each("red ginger redhead", _pigment(0.45, 0.9)),
    "auburn": _pigment(0.60, 0.75),
    **_each("grey gray greying graying", {"hair_grey": 0.7}),
    **_each("white silver", {"hair_grey": 1.0}),
}
_ADJECTIVES: Mapping[str, Mapping[str, Numbers]] = {
    "hair": {
        **_HAIR_COLOURS,
        **{word: {"hair_curl": curl} for word, curl in _CURLS.items()},
        **_each("voluminous big thick", {"hair_volume": 0.9}),
        **_each("thin flat fine", {"hair_volume": 0.15}),
    },
    "beard": {
        **_HAIR_COLOURS,
        **_each("full thick long big bushy", _FULL_BEARD),
        **_each("short trimmed small", _SHORT_BEARD),
    },
    "eyes": {
        "blue": {"iris_melanin": 0.06, "iris_hue": 0.12},
        **_each("grey gray", {"iris_melanin": 0.1, "iris_hue": 0.45}),
        "green": {"iris_melanin": 0.12, "iris_hue": 0.68},
        **_each("hazel amber", {"iris_melanin": 0.36, "iris_hue": 0.9}),
        "brown": {"iris_melanin": 0.68, "iris_hue": 0.75},
        **_each("dark dark=brown black", {"iris_melanin": 0.93, "iris_hue": 0.75}),
        "light": {"iris_melanin": 0.1},
    },
    "skin": {
        **_each("very=fair pale porcelain white", {"melanin": 0.06}),
        **_each("fair light", {"melanin": 0.22}),
        **_each("tanned medium tan", {"melanin": 0.45}),
        "olive": {"melanin": 0.45, "undertone": 0.8},
        **_each("brown bronze", {"melanin": 0.65}),
        **_each("dark deep=brown black dark=brown", {"melanin": 0.88}),
        **_each("smooth clear flawless", {"wrinkles": 0.0, "spots": 0.0, "freckles": 0.0,
                                                        "unevenness": 0.1}),
    },
    "brows": {
        **_each("thick bushy full", {"brow_thickness": 0.95, "brow_density": 0.9}),
        **_each("thin plucked", {"brow_thickness": 0.1}),
        "arched": {"brow_arch": 0.9},
        **_each("dark black", {"brow_tone": 0.95}),
        **_each("light blonde blond", {"brow_tone": 0.1}),
    },
    "lips": {
        "red": {"lip_red": 0.9},
        "dark": {"lip_dark": 0.85},
        "pale": {"lip_red": 0.12, "lip_dark": 0.15},
    },
    "cheeks": {**_each("rosy red flushed pink", {"redness": 0.95})},
    "freckles": {"many": {"freckles": 0.95}, "few": {"freckles": 0.42}},
    "wrinkles": {**_each("deep many", {"wrinkles": 0.95}), "few": {"wrinkles": 0.45}},
    "makeup": {"heavy": {"makeup": 0.95}, **_each("light subtle", {"makeup": 0.4})},
}  # fmt: skip
# Hair's own words, without "hair": "a blonde", "curly".
_ALONE = frozenset(("blonde", "blond", "brunette", "ginger", "redhead", "auburn", *_CURLS))


def read_wishes(text: str | None) -> Wishes:
    """The wishes in a text of any length; an empty one has none.

    Example:
        >>> read_wishes("a bald man, blue eyes").numbers["iris_hue"]
        0.12
    """
    return _Reader().read(text or "")


def _words(text: str) -> list[str]:
    """Lower case, joined phrases, commas as words of their own."""
    clean = re.sub(r"\s+", " ", re.sub(r"[-\u2010-\u2015_/]", " ", text.lower()))
    clean = re.sub(r"'s\b", "", clean)
    for pattern, joined in _JOINED:
        clean = re.sub(pattern, joined or (lambda found: found[0].replace(" ", "=")), clean)
    return re.findall(r"[^\W_]+(?:=[^\W_]+)*|[,.;:]", clean)


class _Reader:
    """Reads one text; see `read_wishes`."""

    def __init__(self) -> None:
        self.person: dict[str, Range] = {}
        self.numbers: dict[str, float] = {}
        self.pigment: dict[str, float] = {}  # a beard's colour, if nothing is said of the hair's
        self.style: str | None = None
        self.length: str | None = None
        self.pending: list[str] = []
        self.unread: list[str] = []
        self.negated = False

    def read(self, text: str) -> Wishes:
        text = self._years(text)
        for word in _words(text):
            self._take(word)
        self._alone()
        if self.style is None and self.numbers.get("hair_curl", 0.0) > 0.7 and self.length != "long":
            self.style = "curly"
        found = {**self.pigment, **self.numbers}
        return Wishes(self.person, found, self.style or self.length, tuple(dict.fromkeys(self.unread)))

    def _years(self, text: str) -> str:
        """Take an age in years or in decades out of the text."""

        def years(found: re.Match[str]) -> str:
            age = min(max(float(found[1] or found[2]), 1.0), 88.0)
            self.person["age"] = (age - 1, age + 1, age)
            return " "

        def decade(found: re.Match[str]) -> str:
            first = 20.0 + 10 * _DECADES.index(found[1].lower())
            self.person["age"] = (first, first + 9, first + 5)
            return " "

        text = re.sub(r"(?i)\b(\d{1,3})[- ]years?(?:[- ]old)?\b|\baged?(?: of)? (\d{1,3})\b", years, text)
        return re.sub(
            rf"(?i)\bin (?:his|her|their|the)(?: early| late)? ({'|'.join(_DECADES)})\b", decade, text
        )

    def _take(self, word: str) -> None:
        if word in _BREAKS or not word[0].isalnum():
            self.negated = False
            # "short, curly hair": what has found no noun yet waits on; "an old, bald man" loses nothing.
            return
        if word in _NEGATIONS:
            self.negated = True
        elif word in _PERSON:
            self._is(_PERSON[word])
        elif word in _STYLES and not self.negated:
            self.style = _STYLES[word]
            self._speak("hair")
        elif word in _NOUNS:
            self._noun(word)
        elif any(word in told for told in _ADJECTIVES.values()) or word in _LENGTHS:
            self.pending.append(word)
        elif word not in _FILLER:
            self.unread.append(word.replace("=", " "))

    def _is(self, said: Mapping[str, Range]) -> None:
        """Say something of the person; of two ages the narrower counts."""
        if self.negated:
            return
        for name, wish in said.items():
            known = self.person.get(name)
            if known is None or wish[1] - wish[0] <= known[1] - known[0]:
                self.person[name] = wish
        # "a pale woman" speaks of skin, "a blonde girl" of hair, "a dark man" of neither.
        self.pending = [word for word in self.pending if not self._describes(word)]

    def _describes(self, word: str) -> bool:
        if word in _ALONE:
            self.numbers |= _ADJECTIVES["hair"][word]
        elif word in ("pale", "tanned"):
            self.numbers |= _ADJECTIVES["skin"][word]
        else:
            return False
        return True

    def _noun(self, noun: str) -> None:
        plain, none = _NOUNS[noun]
        topic = _TOPICS.get(noun, "")
        if self.negated:
            self.numbers |= none
            if topic == "hair":
                self.style = "bald"
            self.pending.clear()
            return
        self.numbers |= plain
        if noun in _CURLS:
            self.numbers["hair_curl"] = _CURLS[noun]
        if topic:
            self._speak(topic)

    def _speak(self, topic: str) -> None:
        """The gathered adjectives say something of a topic."""
        told = _ADJECTIVES.get(topic, {})
        for word in self.pending:
            numbers = told.get(word, {})
            if topic == "beard" and word in _HAIR_COLOURS and "hair_melanin" in _HAIR_COLOURS[word]:
                self.pigment |= numbers
            else:
                self.numbers |= numbers
            if topic == "hair" and word in _LENGTHS:
                self.length = _LENGTHS[word]
            elif not numbers:
                self.unread.append(word.replace("=", " "))
        self.pending.clear()

    def _alone(self) -> None:
        """What no noun came for."""
        for word in self.pending:
            if not self._describes(word):
                self.unread.append(word.replace("=", " "))
        self.pending.clear()
