"""The result of a bisection: the status of every module, and findings: the differing ones with likely causes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from alignment.errors import FileError
from alignment.results.summary import plural
from alignment.text_files import decode_from, read_json, to_json, write_text
from porting.fields import encode
from porting.names import fold

FindingKind: TypeAlias = Literal["module", "parameter", "statistic", "function", "quantity"]
Status: TypeAlias = Literal["agrees", "inherits", "children", "guilty", "not compared"]

BISECTION_FILE, DIAGNOSIS = "bisection.json", "diagnosis"
"""File of a bisection, and folder within that of a run in which its diagnosis is."""
DIAGNOSIS_FILE = "diagnosis.json"
"""File of a diagnosis of training, in the folder of its run."""
_OTHER = "holds no findings of `pit-align bisect` or `diagnose`: {}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One quantity that differs.

    Attributes:
        what: Name of the quantity: `output 0, given the reference's input`.
        error: Relative L2 of the difference; None if the shapes differ or a value is NaN.
        reason: Why the difference is no rounding.
    """

    what: str
    error: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Cause:
    """A known mistake that explains a finding.

    Attributes:
        name: Its short name: `gelu tanh`.
        says: The mistake in a sentence.
        look_at: The line or attribute where it is likely to be.
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
    """Something that differs by itself, not because its input differs.

    Attributes:
        kind: A `module`, a `parameter`, a running `statistic`, a `function` such as a loss, or a
            `quantity` of a check point of training.
        path: Its name in the reference.
        candidate: Its name in the candidate.
        mode: `eval` or `train`.
        direction: `forward` or `backward`.
        evidence: The quantities that differ.
        causes: The known mistakes that explain it, the best first; empty if none does or none was tried.
        tried: Number of hypotheses that were tried.
    """

    kind: FindingKind
    path: str
    candidate: str
    mode: str
    direction: str
    evidence: tuple[Evidence, ...]
    causes: tuple[Cause, ...] = ()
    tried: int = 0


@dataclass(frozen=True, slots=True)
class ModuleRow:
    """One call of one module that both sides have.

    Attributes:
        path: The module in the reference.
        candidate: The module in the candidate.
        call: Number of the call of the module, from 0.
        kind: Name of the candidate's class.
        mode: `eval` or `train`.
        status: `agrees`; `inherits`: differs because its input differs, and agrees if it gets the reference's input;
            `children`: differs by itself, because of modules in it; `guilty`: differs by itself; `not compared`.
        end_to_end: Largest relative L2 error of its outputs when the whole model runs from the images on.
        isolated: Largest relative L2 error of its outputs when it gets the reference's input.
        reason: Reason of the status.
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
        diverges: True if anything differs.
        cause: The likeliest cause in one line, see `cause_line`; empty if nothing differs by itself.
        findings: What differs by itself, in the order of execution, parameters first.
        modules: Every module that both sides have, in the order of execution.
        reference_only: Modules that only the reference has.
        candidate_only: Modules that only the candidate has.
        hypotheses: True if known mistakes were tried.
        notes: Notes for the reader.
        command: The command line.
    """

    model: str
    sides: tuple[str, str]
    dtype: str
    diverges: bool
    cause: str = field(default="", kw_only=True)
    findings: tuple[Finding, ...]
    modules: tuple[ModuleRow, ...]
    reference_only: tuple[str, ...] = ()
    candidate_only: tuple[str, ...] = ()
    hypotheses: bool = False
    notes: tuple[str, ...] = ()
    command: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return dict(encode(self))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON.

        Raises:
            FileError: The file cannot be written.
        """
        write_text(to_json(self), path, "the bisection")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Bisection:
        """Read a result that `write` wrote.

        Raises:
            FileError: The file cannot be read, or is no bisection.
        """
        return decode_from(path, cls, _read(path), problem=_OTHER)


def cause_line(findings: Sequence[Finding]) -> str:
    """Return what is wrong in one line: where, what, and where to look; empty without findings.

    Findings with the same cause as the first are named with it; of the others the line has the number.
    """
    if not findings:
        return ""
    first = next((finding for finding in findings if finding.causes), findings[0])
    says = first.causes[0].says if first.causes else ""
    alike = [one for one in findings if (one.causes[0].says if one.causes else "") == says and one.kind == first.kind]
    names = ", ".join(fold(dict.fromkeys(one.candidate or one.path or "the model itself" for one in alike)))
    mode = "" if first.mode == "eval" else " in training mode"
    backward = ", in its gradient" if first.direction == "backward" else ""
    if says:
        text = f"{names}{mode}: {says} ({first.causes[0].look_at})"
    else:
        text = f"{names}{mode} {'differ' if len(alike) > 1 else 'differs'} by itself{backward}; the reason is not known"
    more = len(findings) - len(alike)
    return text + (f"; and {plural(more, 'more finding')}" if more else "")


def write_findings(findings: Sequence[Finding], path: str | os.PathLike[str]) -> None:
    """Write findings as a JSON list.

    Raises:
        FileError: The file cannot be written.
    """
    write_text(to_json(list(findings)), path, "the diagnosis")


def read_findings(path: str | os.PathLike[str]) -> tuple[Finding, ...]:
    """Read findings that `write_findings` wrote.

    Raises:
        FileError: The file cannot be read, or holds something else.
    """
    values = _read(path)
    if not isinstance(values, list):
        raise FileError(path, f"holds {type(values).__name__}, expected a list of findings; diagnose again")
    return tuple(decode_from(path, Finding, value, problem=_OTHER) for value in values)


def _read(path: str | os.PathLike[str]) -> Any:
    return read_json(path, unreadable="the findings cannot be read: {}", malformed=_OTHER)
