"""What a report of a problem needs, without anything personal. Knows nothing of bpy."""

from __future__ import annotations

import getpass
import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def text(facts: Mapping[str, Any], doctor: Mapping[str, Any], log: Path | None) -> str:
    """A plain text: `facts`, the doctor's report, and the end of a log.

    The home folder becomes `~`, and the user's and the machine's names go.
    """
    lines = [f"{key}: {value}" for key, value in facts.items()]
    lines += [f"system: {platform.platform()}", "", "doctor:"]
    lines.append(json.dumps(doctor, indent=1) if doctor else "not asked yet: press Check the Engine first")
    if log is not None:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        lines += ["", f"{log.name}:", *tail]
    return without_names("\n".join(lines))


def without_names(text: str) -> str:
    """`text` without the home folder's path, the user's name and the machine's."""
    text = re.sub(re.escape(str(Path.home())) + r"(?![\w.-])", "~", text)
    for name, stand_in in ((_user(), "USER"), (platform.node(), "HOST")):
        if len(name) > 2:
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", stand_in, text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, ImportError, KeyError):  # no such entry in the system's table
        return ""
