"""What a self-test found: each fault, each correct run, and the counts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alignment.errors import FileError
from alignment.processes import fingerprint
from alignment.processes.settings import Settings
from alignment.selftest.faults import Fault
from porting.errors import FieldError
from porting.fields import decode, encode


@dataclass(frozen=True, slots=True)
class FaultResult:
    """What the toolkit said of one fault.

    Attributes:
        name: The fault.
        step: The step that it belongs to.
        detected: Whether any quantity diverged.
        localised: Whether exactly what is wrong was named, as module, parameter, function or key.
        named: Whether the cause was named.
        guilty: What was named.
        causes: The causes that were named.
        failed: Some of the quantities that diverged.
        gated: Whether a gate without thresholds stops it, and JUnit and annotations name what diverges.
        reprod_log: Whether reprod_log's mean check objected to the step's files.
        allclose: Whether `np.allclose` did.
        says: What was said of each cause, in sentences.
        key: Digest of what the result depends on, see `alignment.selftest.results.Keys`.
        misnamed: Whether a cause was named that is not the fault's.
    """

    name: str
    step: str
    detected: bool
    localised: bool
    named: bool
    guilty: tuple[str, ...]
    causes: tuple[str, ...]
    failed: tuple[str, ...]
    reprod_log: bool
    allclose: bool
    gated: bool
    says: tuple[str, ...] = ()
    key: str = ""
    misnamed: bool = False


@dataclass(frozen=True, slots=True)
class CorrectRun:
    """What the toolkit said of one correct pair.

    Attributes:
        name: Model, seed and so on.
        model: The model.
        seed: Of its weights and inputs.
        threads: CPU threads.
        runs: Steps times precisions, and a bisection.
        accused: What was accused; empty as it should be.
        margin: The largest float32 error, in multiples of the noise floor.
        objections: Which of the two simple checks objected to which step; None where that was not measured.
        key: Digest of what the result depends on.
    """

    name: str
    model: str
    seed: int
    threads: int
    runs: int
    accused: tuple[str, ...]
    margin: float
    objections: tuple[str, ...] | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Selftest:
    """The result of a self-test.

    Attributes:
        faults: One a fault.
        correct: One a correct pair.
        command: The command line.
    """

    faults: tuple[FaultResult, ...]
    correct: tuple[CorrectRun, ...]
    command: str = ""

    @property
    def runs(self) -> int:
        """Correct runs."""
        return sum(each.runs for each in self.correct)

    @property
    def accused(self) -> tuple[CorrectRun, ...]:
        """Correct pairs that were accused."""
        return tuple(each for each in self.correct if each.accused)

    @property
    def passed(self) -> bool:
        """Whether every fault was detected and stopped by the gate, and nobody was accused."""
        return all(fault.detected and fault.gated for fault in self.faults) and not self.accused

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values, with its counts."""
        counted = count(self.faults)
        return {
            **encode(self),
            "passed": self.passed,
            "counts": {"faults": len(self.faults), **counted, "runs": self.runs, "accused": len(self.accused)},
        }


def count(faults: Iterable[FaultResult]) -> dict[str, int]:
    """How many faults were detected, localised, named, gated and misnamed, and how many the two simple checks saw."""
    faults = list(faults)
    names = ("detected", "localised", "named", "gated", "reprod_log", "allclose", "misnamed")
    return {name: sum(bool(getattr(fault, name)) for fault in faults) for name in names}


def slug(name: str) -> str:
    """A name as a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def write_json(path: Path, value: object) -> None:
    """Write plain values, such that a file is there in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


T = TypeVar("T", FaultResult, CorrectRun)
_SIDES = ("torch", "paddle")
_AGAIN = "remove it, and it is run again"


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
        versions = {side: fingerprint.versions_in(settings.python(side), side) for side in _SIDES}
        return cls(_digest([fingerprint.digest_of_code(), versions]))

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
