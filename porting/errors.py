"""The errors of `porting`: what was found, where, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

from porting.visible import visible


class ExpectedError(Exception):
    """An error that the user can act on.

    Args:
        summary: One line: what was found, where, what was expected and what to do.
        details: Further lines below the summary, one for each mismatch.

    Attributes:
        exit_code: Exit code of a command that ends with the error; 3 means that it could not run.
    """

    exit_code = 3

    def __init__(self, summary: str, details: Iterable[str] = ()) -> None:
        super().__init__(summary)
        self.summary = summary
        self.details = tuple(details)

    def __str__(self) -> str:
        return "\n  ".join((self.summary, *self.details))


class PortingError(ExpectedError):
    """An error of a checkpoint or of a port."""


class CheckpointError(PortingError):
    """A file that cannot be read or written as a checkpoint; the summary starts with the file's path."""

    def __init__(self, path: str | PathLike[str], problem: str, details: Iterable[str] = ()) -> None:
        super().__init__(f"{visible(str(path))}: {problem}", details)
        self.path = path


class NoStateError(CheckpointError):
    """A checkpoint without the state of an optimizer.

    Attributes:
        problem: What it lacks, without its path.
    """

    def __init__(self, path: str | PathLike[str], problem: str) -> None:
        super().__init__(path, problem)
        self.problem = problem


class UnsafePickleError(CheckpointError):
    """A pickle that needs something other than tensors and plain containers. Nothing of it was executed."""


class TargetExistsError(CheckpointError):
    """The target file exists already, and it was not allowed to replace it."""


class RulesError(PortingError):
    """A file of rules that cannot be read or used; the summary starts with the file's path."""

    def __init__(self, path: str | PathLike[str], problem: str, details: Iterable[str] = ()) -> None:
        super().__init__(f"{visible(str(path))}: {problem}", details)
        self.path = path
        self.problem = problem


class UnprovenError(RulesError):
    """Rules with which the two models give different outputs; nothing was written. Exits with 1."""

    exit_code = 1


class PlanError(PortingError):
    """Two sets of tensors do not map onto each other; the details hold every mismatch."""


class ImpossibleModelError(PortingError, ValueError):
    """An image size or class count that a model cannot have. Exits with 2."""

    exit_code = 2


class UnknownNameError(PortingError):
    """A model, layout, format or dtype is not known; the message has the nearest name. Exits with 2."""

    exit_code = 2


class SizeError(PortingError, ValueError):
    """A text that is no size in bytes, such as 5GB. Exits with 2."""

    exit_code = 2


class FieldError(ExpectedError):
    """A value read from JSON or TOML that does not have the declared form; the summary starts with its place."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem
