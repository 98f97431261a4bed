"""The errors of `alignment`; a message has what was found, where, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

from porting.errors import ExpectedError


class AlignmentError(ExpectedError):
    """An alignment that could not be carried out."""


class NothingComparedError(AlignmentError):
    """No quantity was compared, so nothing can pass or fail; exit code 5."""

    exit_code = 5


class DivergenceError(AlignmentError, AssertionError):
    """Two sides that differ, raised by `Report.raise_for_divergence` and `assert_aligned`; exit code 1."""

    exit_code = 1


class RefusedError(AlignmentError):
    """Two recordings that must not be compared, since their inputs, models or steps differ."""


class FileError(AlignmentError):
    """A recording, report or configuration that cannot be read or written; the summary starts with its path."""

    def __init__(self, path: str | PathLike[str], problem: str, details: Iterable[str] = ()) -> None:
        super().__init__(f"{path}: {problem}", details)
        self.path = path


class HeldError(FileError):
    """A folder that another run is writing to; nothing in it was touched."""
