"""What a self-test found: each fault, each correct run, and the counts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignment.fields import encode


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
        key: Digest of what the result depends on, see `alignment.selftest_results.Keys`.
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
