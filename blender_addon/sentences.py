"""Sentences in panels and dialogs, whose labels do not break by themselves."""

from __future__ import annotations

from textwrap import wrap

import bpy

WIDE = 90  # letters on a line of the preferences


def sidebar_letters(context: bpy.types.Context) -> int:
    """How many fit on a line of the sidebar that is being drawn, with an icon."""
    width = context.region.width / context.preferences.system.ui_scale if context.region else 300
    return max(int((width - 85) / 6.5), 16)


def write(layout: bpy.types.UILayout, sentence: str, icon: str = "NONE", letters: int = WIDE) -> None:
    """A sentence over as many labels as it needs, with the icon before the first."""
    for number, line in enumerate(wrap(sentence, letters) or [""]):
        layout.label(text=line, icon=icon if number == 0 or icon == "NONE" else "BLANK1")
