"""Live Link Face recordings (CSV): a timecode, a count, then one column a face unit.

Columns are named like ARKit's units with a capital first letter; rotations of head and eyes follow.
"""

from __future__ import annotations

import csv
import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...id3d_engine.errors import InputError

_TIMECODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)")
_RATES = (24.0, 25.0, 30.0, 50.0, 60.0, 120.0)
_USUAL_RATE = 60.0
_DAY_S = 86400.0
_LEADING = ("timecode", "blendshapecount")


@dataclass(frozen=True)
class Recording:
    """What a file holds.

    Attributes:
        seconds: Ascending, from the first row on, which may have had no face.
        columns: Name as in the file -> values, as many as `seconds`.
        skipped: Rows without a face or whose clock did not advance.
    """

    seconds: list[float]
    columns: dict[str, list[float]]
    skipped: int

    def resample(self, rate: float) -> tuple[int, dict[str, list[float]]]:
        """How many whole frames at `rate` frames a second it spans, and the values at each of them."""
        count = int(self.seconds[-1] * rate + 1e-6) + 1
        last = len(self.seconds) - 2
        places = []
        for frame in range(count):
            time = frame / rate
            index = max(0, min(bisect_right(self.seconds, time) - 1, last))
            before, after = self.seconds[index], self.seconds[index + 1]
            places.append((index, max(0.0, min((time - before) / (after - before), 1.0))))
        return count, {
            name: [values[i] + (values[i + 1] - values[i]) * part for i, part in places]
            for name, values in self.columns.items()
        }


def read_recording(path: Path, rate: float = 0.0) -> Recording:
    """Read a recording.

    Args:
        path: The CSV file.
        rate: Frames a second of its timecodes; 0 takes it from the highest frame number in them.

    Raises:
        InputError: it cannot be read, is no such recording, or a row in it is damaged.
    """
    header, rows = _rows(path)
    clocks: list[tuple[int, float]] = []
    values: list[list[float]] = []
    for line, row in rows:
        clocks.append(_clock(row[0], path, line))
        faceless = not any(cell.strip() for cell in row[len(_LEADING) :])
        values.append([] if faceless else _numbers(row, header, path, line))
    seconds = _seconds(clocks, rate)
    kept: list[int] = []
    for index, second in enumerate(seconds):
        if values[index] and (not kept or second > seconds[kept[-1]]):
            kept.append(index)
    if len(kept) < 2:
        raise InputError(f"{path.name} has fewer than two frames with a face: record it again")
    tracks = zip(*(values[index] for index in kept), strict=True)
    return Recording(
        [seconds[index] - seconds[0] for index in kept],
        {name: list(track) for name, track in zip(header[len(_LEADING) :], tracks, strict=True)},
        len(rows) - len(kept),
    )


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and (line number, cells) of every row that is not blank."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [cell.strip() for cell in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise InputError(f"{path} cannot be read ({reason}): choose another file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} is not a text file: choose the recording's CSV") from error
    if tuple(name.lower() for name in header[: len(_LEADING)]) != _LEADING or len(header) < 3:
        raise InputError(
            f"{path.name} is not a Live Link Face recording: its first line must begin with "
            "Timecode,BlendShapeCount"
        )
    return header, rows


def _clock(text: str, path: Path, line: int) -> tuple[int, float]:
    """(whole seconds, frames within that second)."""
    match = _TIMECODE.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{path.name}, line {line}: {text!r} is no timecode (HH:MM:SS:FF.fff); export it again"
        )
    hours, minutes, seconds = (int(part) for part in match.group(1, 2, 3))
    return hours * 3600 + minutes * 60 + seconds, float(match.group(4))


def _numbers(row: Sequence[str], header: Sequence[str], path: Path, line: int) -> list[float]:
    if len(row) != len(header):
        raise InputError(
            f"{path.name}, line {line} has {len(row)} columns where the first line has {len(header)}: "
            "the file is damaged, export it again"
        )
    try:
        numbers = list(map(float, row[len(_LEADING) :]))
        if not all(map(math.isfinite, numbers)):
            raise ValueError
    except ValueError as error:
        raise InputError(
            f"{path.name}, line {line} has a value that is no number: the file is damaged, export it again"
        ) from error
    return numbers


def _seconds(clocks: Sequence[tuple[int, float]], rate: float) -> list[float]:
    """Times of day in seconds; a recording over midnight goes on after 24 h."""
    rate = rate or _rate(clocks)
    seconds: list[float] = []
    day = 0.0
    for second, frame in clocks:
        time = day + second + frame / rate
        if seconds and time < seconds[-1] - _DAY_S / 2:
            day += _DAY_S
            time += _DAY_S
        seconds.append(time)
    return seconds


def _rate(clocks: Sequence[tuple[int, float]]) -> float:
    """The lowest usual rate above the highest frame number; a whole second is needed to tell."""
    if len({second for second, _ in clocks}) < 3:
        return _USUAL_RATE
    highest = max(frame for _, frame in clocks)
    return next((rate for rate in _RATES if math.floor(highest) < rate), _RATES[-1])
