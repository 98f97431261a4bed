"""What `pit-align doctor` found, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from alignment.processes.doctor import Patient, healthy
from alignment.results.summary import plural
from porting.fields import encode

_STYLES = {"missing": "bold red", "bad": "bold red", "note": "yellow"}


def print_doctor(patients: Sequence[Patient], console: Console, *, verbose: bool = False) -> None:
    """Print one paragraph a framework, and what helps below each of its problems.

    Those of a framework that is neither usable nor needed are told where `verbose` asks for them.
    """
    for patient in patients:
        for line in _lines(patient, verbose):
            console.print(line, soft_wrap=True)
    good = healthy(patients)
    said = ("ready to align", "bold green") if good else ("something that is needed is missing", "bold red")
    console.print(Text.assemble(said))


def to_json(patients: Sequence[Patient]) -> dict[str, Any]:
    """The same as a JSON value."""
    return {
        "healthy": healthy(patients),
        "frameworks": [{**encode(patient), "usable": patient.usable} for patient in patients],
    }


def _lines(patient: Patient, verbose: bool) -> Iterator[Text]:
    word, style = _state(patient)
    interpreter = f"Python {patient.version}, {patient.python}" if patient.version else patient.python
    yield Text.assemble((f"{patient.framework:<10}", "bold"), (word, style), f"  {interpreter}")
    if patient.versions:
        yield Text(f"  packages  {', '.join(f'{name} {version}' for name, version in patient.versions.items())}")
    if patient.devices:
        yield Text(f"  runs on   {'; '.join(_facts(patient))}")
    if patient.usable or patient.needed or verbose:
        for problem in patient.problems:
            yield Text.assemble(f"  {problem.level:<8}  ", (problem.summary, _STYLES[problem.level]))
            if problem.fix:
                yield Text(f"            {problem.fix}")


def _state(patient: Patient) -> tuple[str, str]:
    if patient.usable:
        return "usable", "green"
    return ("NOT USABLE", "bold red") if patient.needed else ("not installed, not needed", "dim")


def _facts(patient: Patient) -> Iterator[str]:
    yield ", ".join(patient.devices)
    if patient.threads is not None:
        yield f"{plural(patient.threads, 'thread')} by default"
    if patient.blas:
        yield f"BLAS {patient.blas}"
    if patient.tf32:
        yield ", ".join(f"TF32 {name} {'on' if value else 'off'}" for name, value in patient.tf32.items())
