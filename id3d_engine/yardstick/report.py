"""Means over people with confidence intervals, as JSON and as a Markdown table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RESAMPLES, LEVEL = 2000, 0.95
REFERENCES = ("average", "ridge")  # methods whose errors others are divided by
DIVIDED = ("face_mm", "head_mm", "face_normals_deg")
GROUPED = {"face_mm": "face error over everybody's", "albedo_error": "albedo error over everybody's"}
FAIR, DARK = 0.35, 0.6  # a skin's melanin
OURS = "id3d"  # the method that the others are compared with

Row = Mapping[str, float]


@dataclass(frozen=True)
class Interval:
    """A mean and where it lies: 95 % of bootstrap resamples over people (Efron 1979, percentiles)."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


def mean_of(values: Sequence[float]) -> Interval:
    """Of one figure over people."""
    return ratio_of(values, [1.0] * len(values))


def ratio_of(values: Sequence[float], by: Sequence[float]) -> Interval:
    """The mean of one figure over the mean of another of the same people, resampled together.

    People of whom there is no figure (nan) are left out.
    """
    a, b = np.asarray(values, float), np.asarray(by, float)
    known = ~np.isnan(a + b)
    if not known.any():
        return Interval(float("nan"), float("nan"), float("nan"))
    a, b = a[known], b[known]
    pick = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    found = a[pick].mean(axis=1) / b[pick].mean(axis=1)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(a.mean() / b.mean()), float(low), float(high))


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        rows: Method -> one row of figures a person, people in the same order for all.
        people: Who they are: attributes by name, and `melanin` of the skin.
        settings: What it was measured with.
    """

    rows: Mapping[str, Sequence[Row]]
    people: Sequence[Row]
    settings: Mapping[str, Any]

    def summary(self) -> dict[str, dict[str, Interval]]:
        """Method -> figure -> interval, with errors over those of the `REFERENCES` too."""
        found: dict[str, dict[str, Interval]] = {}
        for method, rows in self.rows.items():
            found[method] = {name: mean_of([row[name] for row in rows]) for name in _shared(rows)}
            for reference in REFERENCES:
                if method == reference or reference not in self.rows:
                    continue
                for name in DIVIDED:
                    found[method][f"{name.rpartition('_')[0]}_over_{reference}"] = ratio_of(
                        [row[name] for row in rows], [row[name] for row in self.rows[reference]]
                    )
        return found

    def differences(self) -> dict[str, dict[str, Interval]]:
        """Another method -> figure -> by how much `OURS` is above it, person by person."""
        rows = self.rows.get(OURS, [])
        return {
            method: {
                name: mean_of([own[name] - row[name] for own, row in zip(rows, others, strict=True)])
                for name in _shared([*rows, *others])
            }
            for method, others in self.rows.items()
            if rows and method != OURS
        }

    def groups(self, method: str, figure: str) -> dict[str, float]:
        """Group of people -> its mean figure over everybody's."""
        values = np.array([row[figure] for row in self.rows[method]])
        return {
            name: float(values[inside].mean() / values.mean())
            for name, inside in _groups(self.people).items()
            if inside.any()
        }

    def grouped(self) -> dict[str, dict[str, dict[str, float]]]:
        """Figure of `GROUPED` -> method -> `groups`, where it was measured of all."""
        measured = _shared([row for rows in self.rows.values() for row in rows])
        return {
            figure: {method: self.groups(method, figure) for method in self.rows}
            for figure in GROUPED
            if figure in measured
        }

    def to_json(self) -> dict[str, Any]:
        """For `json.dumps`."""
        return {
            "settings": dict(self.settings),
            "summary": {m: {k: asdict(v) for k, v in s.items()} for m, s in self.summary().items()},
            "differences": {m: {k: asdict(v) for k, v in d.items()} for m, d in self.differences().items()},
            "groups": self.grouped(),
            "people": [dict(row) for row in self.people],
            "rows": {method: [dict(row) for row in rows] for method, rows in self.rows.items()},
        }

    def to_markdown(self) -> str:
        """Figures by method, what the whole method differs by from the others, and groups of people."""
        lines = _table("figure", self.summary())
        if differences := self.differences():
            lines += ["", *_table(f"{OURS} less", differences)]
        for figure, groups in self.grouped().items():
            lines += ["", *_head(GROUPED[figure], self.rows)]
            for name in next(iter(groups.values())):
                lines.append(_line([name, *(f"{groups[method][name]:.2f}" for method in self.rows)]))
        return "\n".join(lines)


def _shared(rows: Sequence[Row]) -> list[str]:
    """Figures that all rows have."""
    return [name for name in rows[0] if all(name in row for row in rows)]


def _table(title: str, columns: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    names = dict.fromkeys(name for found in columns.values() for name in found)
    cells = ([str(found.get(name, "")) for found in columns.values()] for name in names)
    return [*_head(title, columns), *(_line([name, *row]) for name, row in zip(names, cells, strict=True))]


def _head(title: str, columns: Iterable[str]) -> list[str]:
    cells = [title, *columns]
    return [_line(cells), _line(["---"] * len(cells))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _groups(people: Sequence[Row]) -> dict[str, np.ndarray]:
    def of(name: str) -> np.ndarray:
        return np.array([row[name] for row in people])

    age, skin, ancestries = of("age"), of("melanin"), ("african", "asian", "caucasian")
    most = np.argmax([of(name) for name in ancestries], axis=0)
    return {
        "women": of("gender") < 0.5,
        "men": of("gender") >= 0.5,
        "under 25": age < 25,
        "25 to 55": (age >= 25) & (age <= 55),
        "over 55": age > 55,
        "fair skin": skin < FAIR,
        "medium skin": (skin >= FAIR) & (skin < DARK),
        "dark skin": skin >= DARK,
        **{f"mostly {name}": most == k for k, name in enumerate(ancestries)},
    }
