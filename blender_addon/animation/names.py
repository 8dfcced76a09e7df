"""The 13 expressions, and the regions of the face that ARKit's 52 units move."""

from __future__ import annotations

# The engine's order.
EXPRESSIONS = (
    "mouth_stretch", "smile", "brow_lower", "brow_raiser", "anger", "jaw_left", "jaw_right",
    "lip_puckerer", "lip_funneler", "sadness", "grin", "cheek_blowing", "eyes_closed",
)  # fmt: skip

# How ARKit's names begin -> the group's title, in the panel's order.
REGIONS = {
    "brow": "Brows",
    "eye": "Eyes",
    "jaw": "Jaw",
    "mouth": "Mouth",
    "cheek": "Cheeks",
    "nose": "Nose",
    "tongue": "Tongue",
}


def region(name: str) -> str | None:
    """The title of an ARKit unit's region; None for every other name, the 13 expressions' too."""
    for start, title in REGIONS.items():
        if name.startswith(start) and name[len(start) : len(start) + 1].isupper():
            return title
    return None
