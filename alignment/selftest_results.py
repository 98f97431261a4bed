"""Results of the self-test on disk, and what they depend on: a result is taken as done only where that is the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alignment import dependence
from alignment.errors import FieldError, FileError
from alignment.faults import Fault
from alignment.fields import decode, encode
from alignment.results import CorrectRun, FaultResult, slug
from alignment.settings import Settings

T = TypeVar("T", FaultResult, CorrectRun)
Tell = Callable[[Mapping[str, Any]], None]
_SIDES = ("torch", "paddle")
_AGAIN = "remove it, and it is run again"


def tell_progress(tell: Tell, what: str, done: int, total: int) -> None:
    """Report that a part of a worker's task is done; `done` counts from 0."""
    tell({"event": "progress", "what": what, "done": done + 1, "total": total})


def fault_file(folder: Path, fault: Fault) -> Path:
    """Where the result of a fault is, in the folder of a self-test."""
    return folder / "faults" / f"{slug(fault.name)}.json"


def correct_file(folder: Path, name: str) -> Path:
    """Where the result of a correct pair is."""
    return folder / "correct" / f"{name}.json"


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of what results depend on.

    Attributes:
        state: Of this package's code and of the versions of Python and packages that run it.
    """

    state: str

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        """Of this code and the interpreters of some settings."""
        versions = {side: dependence.versions_in(settings.python(side), side) for side in _SIDES}
        return cls(_digest([dependence.digest_of_code(), versions]))

    def of_fault(self, fault: Fault) -> str:
        """The key of a fault's result: all that is known of the fault is part of it."""
        return _digest([self.state, encode(fault)])

    def of_correct(self, name: str) -> str:
        """The key of the result of a correct pair."""
        return _digest([self.state, name])


def is_done(path: Path, key: str) -> bool:
    """Whether a result is there and depends on what it would depend on now.

    Raises:
        FileError: There is something else than JSON.
    """
    return path.exists() and _key(_load(path)) == key


def read_result(kind: type[T], path: Path, key: str) -> T:
    """Read a result.

    Raises:
        FileError: It cannot be read, is of another state of code, packages or fault, or is no result.
    """
    value = _load(path)
    if _key(value) != key:
        raise FileError(path, f"is of another version of the code, of a package or of what it is about; {_AGAIN}")
    try:
        return decode(kind, value)
    except FieldError as error:
        raise FileError(path, f"is no result of `pit-align selftest`: {error}; {_AGAIN}") from None


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}; run the self-test again") from None
    except ValueError as error:
        raise FileError(path, f"is no result of `pit-align selftest`: not valid JSON ({error}); {_AGAIN}") from None


def _key(value: Any) -> Any:
    return value.get("key") if isinstance(value, dict) else None


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
