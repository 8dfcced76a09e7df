"""Sentences in panels and dialogs, whose labels do not break by themselves."""

from __future__ import annotations

from textwrap import wrap

import bpy

WIDE = 90  # letters on a line of the preferences


def write(layout: bpy.types.UILayout, sentence: str, icon: str = "NONE", letters: int = WIDE) -> None:
    """A sentence over as many labels as it needs, with the icon before the first."""
    for number, line in enumerate(wrap(sentence, letters) or [""]):
        layout.label(text=line, icon=icon if number == 0 or icon == "NONE" else "BLANK1")
