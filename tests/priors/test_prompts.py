from __future__ import annotations

import doctest

import pytest

from id3d_engine.errors import InputError
from id3d_engine.priors import prompts
from id3d_engine.priors.prompts import expression_text, prompt


def test_the_documented_examples_hold() -> None:
    result = doctest.testmod(prompts)
    assert result.attempted == 2
    assert result.failed == 0


def test_the_domain_comes_last_and_the_expression_only_when_asked() -> None:
    assert prompt("a man ,", " back view", "geometry") == "a man, back view, normal map"
    assert prompt("a man", "", "albedo", "eyes  closed") == "a man, eyes closed, albedo map"


def test_blank_text_means_nothing_said() -> None:
    assert prompt("  ", "front view", "geometry").startswith("a head, ")
    assert expression_text(None) == expression_text(" ") == ""


def test_unknown_domain_is_named() -> None:
    with pytest.raises(InputError, match="unknown prior domain 'depth': choose one of geometry, albedo"):
        prompt("a man", "front view", "depth")
