"""Whether a weight file holds the tensors that a model needs, key by key and shape by shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

Shape = Sequence[int]
_SHOWN = 3


def differences(
    found: Mapping[str, Tensor], wanted: Mapping[str, Shape], *, whose: str = "the base"
) -> list[str]:
    """What is missing, unexpected or of another shape, one phrase a key; empty if all fits.

    Args:
        found: A file's tensors.
        wanted: Shapes by key.
        whose: Who needs the wanted shapes, for the phrases.
    """
    phrases = [f"missing {key}" for key in wanted if key not in found]
    phrases += [f"unexpected {key}" for key in found if key not in wanted]
    return phrases + [
        f"{key} is {tuple(found[key].shape)}, {whose} needs {tuple(shape)}"
        for key, shape in wanted.items()
        if key in found and tuple(found[key].shape) != tuple(shape)
    ]


def summary(phrases: Sequence[str]) -> str:
    """The first few phrases, and how many more there are, for a sentence; the error's details have all."""
    more = f"; and {len(phrases) - _SHOWN} more" if len(phrases) > _SHOWN else ""
    return "; ".join(phrases[:_SHOWN]) + more


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Their shapes, as `differences` wants them."""
    return {key: tuple(value.shape) for key, value in tensors.items()}
