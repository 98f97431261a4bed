"""Results of the self-test on disk, and what they depend on: a result is taken as done only where that is the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alignment.doctor_probe import PACKAGES
from alignment.errors import FieldError, FileError
from alignment.faults import Fault
from alignment.fields import decode, encode
from alignment.processes import Launch, run_all
from alignment.results import CorrectRun, FaultResult, slug
from alignment.settings import Settings

T = TypeVar("T", FaultResult, CorrectRun)
Tell = Callable[[Mapping[str, Any]], None]
_ROOT = Path(__file__).resolve().parents[1]
_CODE = ("alignment", "paddle_impl", "porting", "recipe", "reference_torch")
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
    def of(cls, settings: Settings, folder: Path) -> Keys:
        """Of this code and the interpreters of some settings.

        Args:
            settings: Their interpreters may be of other environments: each is asked in a process of its own.
            folder: For what these say.

        Raises:
            AlignmentError: An interpreter cannot be started.
        """
        versions = {side: _versions_in(settings.python(side), side, folder) for side in _SIDES}
        return cls(_digest([_digest_of_code(), versions]))

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


def _digest_of_code() -> str:
    digest = hashlib.sha256()
    for path in sorted(path for name in _CODE for path in (_ROOT / name).rglob("*.py")):
        digest.update(str(path.relative_to(_ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _versions_in(python: str, framework: str, folder: Path) -> Any:
    if Path(python).absolute() == Path(sys.executable).absolute():
        return _versions(framework)
    path = folder / "work" / f"versions-{framework}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = (framework, str(path))
    run_all([Launch(framework, python, __name__, arguments, path.with_suffix(".log"), Settings().environment(1))])
    return json.loads(path.read_text(encoding="utf-8"))


def _versions(framework: str) -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES[framework]:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def main(arguments: list[str]) -> int:
    """Write the versions of what a framework needs in this interpreter into a file; returns the exit code."""
    framework, path = arguments
    Path(path).write_text(json.dumps(_versions(framework)), encoding="utf-8")
    return 0
