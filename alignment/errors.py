"""The errors of `alignment`: what was found, where, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

from porting.errors import ExpectedError


class AlignmentError(ExpectedError):
    """An alignment that could not be carried out."""


class NothingComparedError(AlignmentError):
    """Not one quantity was compared, so there is nothing to pass or fail. Exits with 5."""

    exit_code = 5


class RefusedError(AlignmentError):
    """Two recordings that must not be compared: their inputs, models or steps are not the same."""


class FileError(AlignmentError):
    """A recording, report or configuration that cannot be read or written; the summary starts with its path."""

    def __init__(self, path: str | PathLike[str], problem: str, details: Iterable[str] = ()) -> None:
        super().__init__(f"{path}: {problem}", details)
        self.path = path
