"""The words that the artist's guide and the panels offer are words that the engine knows."""

from __future__ import annotations

import re
from pathlib import Path

from id3d_engine.assets.wishes import read_wishes

GUIDE = Path(__file__).parent.parent / "docs" / "artists-guide.md"


def understood(text: str) -> bool:
    wishes = read_wishes(text)
    return bool(wishes) and not wishes.unread


def test_the_guides_words_are_known() -> None:
    table = (
        GUIDE.read_text(encoding="utf-8").partition("### Words that a text may use")[2].partition("\n## ")[0]
    )
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "|" in line
    ]
    assert len(rows) > 8
    for topic, words, example in rows[2:]:
        assert understood(example), example
        for word in re.split("[,;] ", words):
            assert understood(word) or understood(f"{word} {topic}"), word
