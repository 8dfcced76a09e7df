"""Errors that a user can act on: one sentence that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable


class Id3dError(Exception):
    """Something failed that the user can understand. The text is shown as it is; exit code 1.

    Args:
        sentence: The text.
        details: Everything that the sentence sums up, one line each, such as all keys that a file lacks.
    """

    exit_code = 1

    def __init__(self, sentence: str, details: Iterable[str] = ()) -> None:
        super().__init__(sentence)
        self.details = tuple(details)


class InputError(Id3dError):
    """What the user gave cannot be used (a path, a photo, an option); exit code 2."""

    exit_code = 2


class MissingDependency(Id3dError):
    """An optional package or model is not installed; the text names how to get it."""


class OutOfMemory(Id3dError):
    """Memory ran out; the text names the setting that needs less of it."""


class Cancelled(Id3dError):
    """The user stopped the job; a checkpoint was kept for `--resume`; exit code 130."""

    exit_code = 130
