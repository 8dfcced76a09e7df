"""Means, intervals and tables over people."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from id3d_engine.yardstick.report import Report, mean_of, ratio_of

WOMAN = {"gender": 0.1, "age": 20.0, "african": 0.1, "asian": 0.7, "caucasian": 0.2, "melanin": 0.2}
MAN = {"gender": 0.9, "age": 60.0, "african": 0.8, "asian": 0.1, "caucasian": 0.1, "melanin": 0.6}


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    hits = [(found := mean_of(rng.normal(3.0, 1.0, 40))).low <= 3.0 <= found.high for _ in range(200)]
    assert 0.9 <= np.mean(hits) <= 0.98
    same = mean_of([2.0] * 5)
    assert (same.mean, same.low, same.high) == (2.0, 2.0, 2.0)


def test_ratios_are_of_the_same_people() -> None:
    """Errors that are always half of another's leave no doubt, however much people differ."""
    other = np.array([1.0, 10.0, 3.0, 0.5])
    found = ratio_of(other / 2, other)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_people_without_a_figure_are_left_out() -> None:
    assert mean_of([1.0, math.nan, 3.0]).mean == 2.0
    assert math.isnan(mean_of([math.nan]).mean)


def test_the_tables() -> None:
    errors = {"face_mm": 1.0, "head_mm": 2.0, "face_normals_deg": 4.0}
    rows = {
        "average": [{**errors, "face_mm": 2.0}, {**errors, "face_mm": 4.0}],
        "id3d": [{**errors, "extra": 1.0}, {**errors, "face_mm": 3.0}],
    }
    report = Report(rows, [WOMAN, MAN], {"people": 2})
    found = report.summary()
    assert found["id3d"]["face_over_average"].mean == pytest.approx(2 / 3)
    assert "face_over_average" not in found["average"] and "extra" not in found["id3d"]
    assert report.groups("id3d", "face_mm") == pytest.approx(
        {
            "women": 0.5,
            "men": 1.5,
            "under 25": 0.5,
            "over 55": 1.5,
            "fair skin": 0.5,
            "dark skin": 1.5,
            "mostly african": 1.5,
            "mostly asian": 0.5,
        }
    )
    lines = report.to_markdown().splitlines()
    assert lines[0] == "| figure | average | id3d |" and lines[2].startswith(
        "| face_mm | 3 [2, 4] | 2 [1, 3] |"
    )
    # People by people: one is 1 mm nearer, and so is the other, whatever they differ by.
    assert "| id3d less | average |" in lines and "| face_mm | -1 [-1, -1] |" in lines
    assert "extra" not in report.differences()["average"] and "id3d" not in report.differences()
    assert not Report({"average": rows["average"]}, [WOMAN, MAN], {}).differences()
    assert json.loads(json.dumps(report.to_json()))["summary"]["id3d"]["face_mm"]["mean"] == 2.0
