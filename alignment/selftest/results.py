"""Results of a self-test: each fault, each correct run, and the counts; how they are kept as files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from alignment.arrays import Array
from alignment.errors import FileError
from alignment.processes import fingerprint
from alignment.processes.settings import Settings
from alignment.results.findings import Cause, Finding
from alignment.results.report import Report
from alignment.selftest.baselines import allclose_check, mean_check, stops
from alignment.selftest.faults import Fault
from porting.errors import FieldError
from porting.fields import decode, encode


@dataclass(frozen=True, slots=True)
class FaultResult:
    """What the toolkit reported of one fault.

    Attributes:
        name: Name of the fault.
        step: Step that it belongs to.
        detected: Whether any quantity diverged.
        localised: Whether exactly what is wrong was located, as module, parameter, function or key.
        named: Whether the cause was named.
        guilty: Paths that were located.
        causes: Causes that were named.
        failed: Some of the quantities that diverged.
        reprod_log: Whether reprod_log's mean check objected to the step's files.
        allclose: Whether `np.allclose` objected to them.
        gated: Whether a gate without thresholds stops it, and JUnit and annotations name what diverges.
        says: Sentences of the causes.
        key: Digest of what the result depends on, see `Keys`.
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
    """What the toolkit reported of one correct pair.

    Attributes:
        name: Model, image size and seed, or recipe and check point.
        model: Name of the model.
        seed: Seed of its weights and inputs.
        threads: CPU threads.
        runs: Steps times precisions, and a bisection.
        accused: What was reported as wrong; empty as it should be.
        margin: The largest float32 error, in multiples of the noise floor.
        objections: Which of the two simple checks objected to which step; None where that was not measured.
        key: Digest of what the result depends on, see `Keys`.
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
        faults: Results of the faults.
        correct: Results of the correct pairs.
        command: The command line.
    """

    faults: tuple[FaultResult, ...]
    correct: tuple[CorrectRun, ...]
    command: str = ""

    @property
    def runs(self) -> int:
        """Number of runs of correct pairs."""
        return sum(run.runs for run in self.correct)

    @property
    def accused(self) -> tuple[CorrectRun, ...]:
        """Correct pairs of which something was reported as wrong."""
        return tuple(run for run in self.correct if run.accused)

    @property
    def passed(self) -> bool:
        """True if every fault was detected and stopped by the gate, and nothing was reported of a correct pair."""
        return all(fault.detected and fault.gated for fault in self.faults) and not self.accused

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values, with its counts."""
        counted = count(self.faults)
        return {
            **encode(self),
            "passed": self.passed,
            "counts": {"faults": len(self.faults), **counted, "runs": self.runs, "accused": len(self.accused)},
        }


def count(faults: Iterable[FaultResult]) -> dict[str, int]:
    """Count the faults detected, localised, named, gated and misnamed, and those that the two simple checks detect."""
    faults = list(faults)
    names = ("detected", "localised", "named", "gated", "reprod_log", "allclose", "misnamed")
    return {name: sum(bool(getattr(fault, name)) for fault in faults) for name in names}


_UNNAMED = Cause("", "", "", 0.0, 0.0)


def fault_result(
    fault: Fault,
    report: Report,
    findings: Sequence[Finding],
    reference: Mapping[str, Array],
    candidate: Mapping[str, Array],
) -> FaultResult:
    """Return the result of a fault.

    Args:
        fault: The fault.
        report: The report on its step.
        findings: What was located, with the causes that were named.
        reference: Arrays of the step's official files, by key.
        candidate: Those of the candidate with the fault.
    """
    causes = [(cause.name, cause.says) for finding in findings for cause in finding.causes[:1] or (_UNNAMED,)]
    places, expected = dict.fromkeys(finding.path for finding in findings), set(fault.expected)
    some = fault.step == "metric"  # an accuracy need not change in every set of scores
    return FaultResult(
        **simple_checks(fault, report, reference, candidate),
        localised=bool(places) and (places.keys() <= expected if some else places.keys() == expected),
        named=bool(causes) and all(fault.names(*cause) for cause in causes),
        misnamed=any(fault.contradicts(*cause) for cause in causes),
        guilty=tuple(places),
        causes=tuple(dict.fromkeys(name for name, _ in causes)),
        says=tuple(dict.fromkeys(says for _, says in causes)),
        failed=tuple(row.key for row in report.failures)[:6],
    )


def simple_checks(
    fault: Fault, report: Report, reference: Mapping[str, Array], candidate: Mapping[str, Array]
) -> dict[str, Any]:
    """Return the fields of a `FaultResult` that depend on no finding."""
    return {
        "name": fault.name,
        "step": fault.step,
        "detected": bool(report.failures),
        "reprod_log": bool(reference) and mean_check(reference, candidate),
        "allclose": bool(reference) and allclose_check(reference, candidate),
        "gated": stops(report),
    }


def objections(report: Report) -> list[str]:
    """Return what a report says of a candidate that is correct: nothing, as it should be."""
    return [f"{row.key} ({row.dtype}): {row.reason}" for row in report.failures]


def slug(name: str) -> str:
    """Return a name as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def write_json(path: Path, value: object) -> None:
    """Write plain values so that the file is there in full or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


T = TypeVar("T", FaultResult, CorrectRun)
_SIDES = ("torch", "paddle")
_AGAIN = "remove it, and it is run again"


def fault_file(folder: Path, fault: Fault) -> Path:
    """Return the file of a fault's result, in the folder of a self-test."""
    return folder / "faults" / f"{slug(fault.name)}.json"


def correct_file(folder: Path, name: str) -> Path:
    """Return the file of a correct pair's result."""
    return folder / "correct" / f"{name}.json"


@dataclass(frozen=True, slots=True)
class Keys:
    """Digests of what results depend on.

    Attributes:
        state: Digest of this package's code and of the versions of Python and packages that run it.
    """

    state: str

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        """Return the digests for this code and the interpreters of some settings."""
        versions = {side: fingerprint.versions_in(settings.python(side), side) for side in _SIDES}
        return cls(_digest([fingerprint.digest_of_code(), versions]))

    def of_fault(self, fault: Fault) -> str:
        """Return the key of a fault's result, which depends on all fields of the fault."""
        return _digest([self.state, encode(fault)])

    def pending(self, folder: Path, faults: Iterable[Fault]) -> list[Fault]:
        """Return those of some faults that have no result yet."""
        return [fault for fault in faults if not is_done(fault_file(folder, fault), self.of_fault(fault))]

    def of_correct(self, name: str) -> str:
        """Return the key of a correct pair's result."""
        return _digest([self.state, name])


def is_done(path: Path, key: str) -> bool:
    """Return whether a result exists and its key matches the code, the versions and the fault.

    Raises:
        FileError: The file is not JSON.
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
