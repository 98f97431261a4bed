"""What a bisection found: every module with what became of it, and those that are to blame, with the likely cause."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from alignment.errors import FileError
from porting.errors import FieldError
from porting.fields import decode, encode, parse_json

FindingKind: TypeAlias = Literal["module", "parameter", "statistic", "function", "quantity"]
Status: TypeAlias = Literal["agrees", "inherits", "children", "guilty", "not compared"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One quantity that differs.

    Attributes:
        what: Which: `output 0, given the reference's input`.
        error: Relative L2 of the difference; None where it has none, because of shapes or NaN.
        reason: Why that is no rounding.
    """

    what: str
    error: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Cause:
    """A known mistake that explains a finding.

    Attributes:
        name: Its short name: `gelu tanh`.
        says: What is wrong, in a sentence.
        look_at: The line or attribute that is likely to be it.
        before: Relative L2 between the reference and the candidate.
        after: Relative L2 between the reference with the mistake and the candidate.
    """

    name: str
    says: str
    look_at: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs by itself, not because of what it was given.

    Attributes:
        kind: A `module`, a `parameter`, a running `statistic`, a `function` such as a loss, or a
            `quantity` of a check point of training.
        path: Its name in the reference.
        candidate: Its name in the candidate.
        mode: `eval` or `train`.
        direction: `forward` or `backward`.
        evidence: What differs.
        causes: The known mistakes that explain it, the best first; empty where none does or none was tried.
        tried: How many hypotheses were tried.
    """

    kind: FindingKind
    path: str
    candidate: str
    mode: str
    direction: str
    evidence: tuple[Evidence, ...]
    causes: tuple[Cause, ...] = ()
    tried: int = 0


_OTHER = "holds no findings of `pit-align bisect` or `diagnose`"
DIAGNOSIS_FILE = "diagnosis.json"
"""What a diagnosis of training leaves in the folder of its run."""


def write_findings(findings: Sequence[Finding], path: str | os.PathLike[str]) -> None:
    """Write findings as a JSON list."""
    text = json.dumps([encode(each) for each in findings], indent=1, allow_nan=False)
    Path(path).write_text(f"{text}\n", encoding="utf-8")


def read_findings(path: str | os.PathLike[str]) -> tuple[Finding, ...]:
    """Read what `write_findings` wrote.

    Raises:
        FileError: It cannot be read, or holds something else.
    """
    found = _read(path)
    if not isinstance(found, list):
        raise FileError(path, f"holds {type(found).__name__}, expected a list of findings; diagnose again")
    with _decoding(path):
        return tuple(decode(Finding, each) for each in found)


def _read(path: str | os.PathLike[str]) -> Any:
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(path, f"the findings cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FileError(
            path, f"holds no findings of `pit-align bisect` or `diagnose`: not valid JSON ({error})"
        ) from None


@contextmanager
def _decoding(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except FieldError as error:
        raise FileError(path, f"{_OTHER}: {error}") from None


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """One call of one module that both sides have.

    Attributes:
        path: The module in the reference.
        candidate: The module in the candidate.
        call: Which call of it.
        kind: Name of the candidate's class.
        mode: `eval` or `train`.
        status: `agrees`; `inherits`: differs because of what comes in, and is right by itself; `children`: differs by
            itself, because of modules in it; `guilty`; `not compared`.
        end_to_end: Largest relative L2 of what came out, from the images on.
        isolated: Largest relative L2 of what came out when it was given what the reference's was given.
        reason: Why the status is what it is.
    """

    path: str
    candidate: str
    call: int
    kind: str
    mode: str
    status: Status
    end_to_end: float | None = None
    isolated: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bisection:
    """The result of a bisection.

    Attributes:
        model: The model's name.
        sides: The frameworks, reference first.
        dtype: The precision in which the candidate was judged.
        diverges: Whether anything differs.
        findings: What is to blame, in the order of execution, parameters first.
        modules: Every module that both sides have, in the order of execution.
        reference_only: Modules that only the reference has.
        candidate_only: Modules that only the candidate has.
        hypotheses: Whether known mistakes were tried.
        notes: What a reader must know.
        command: The command line.
    """

    model: str
    sides: tuple[str, str]
    dtype: str
    diverges: bool
    findings: tuple[Finding, ...]
    modules: tuple[ModuleRow, ...]
    reference_only: tuple[str, ...] = ()
    candidate_only: tuple[str, ...] = ()
    hypotheses: bool = False
    notes: tuple[str, ...] = ()
    command: str = ""

    def to_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return dict(encode(self))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Bisection:
        """Read what `write` wrote.

        Raises:
            FileError: It cannot be read, or is no bisection.
        """
        found = _read(path)
        with _decoding(path):
            return decode(cls, found)
