"""One alignment's result as a value: what was compared, how far apart it was, and what that means."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from alignment.errors import FileError
from alignment.recordings.reprod_check import MeanCheck
from alignment.writing import write_text
from porting.errors import FieldError
from porting.fields import decode, encode, parse_json
from porting.visible import printable

Verdict: TypeAlias = Literal["same function", "rounding", "within tolerance", "divergence"]
SAME_FUNCTION: Verdict = "same function"
ROUNDING: Verdict = "rounding"
WITHIN_TOLERANCE: Verdict = "within tolerance"
DIVERGENCE: Verdict = "divergence"

SCHEMA_VERSION = 1
_NUMBERS = ("mean", "max", "rel_l2", "error", "floor", "margin", "limit")
_PROBLEMS = 10
STRENGTH: Mapping[Verdict, int] = {DIVERGENCE: 0, WITHIN_TOLERANCE: 1, ROUNDING: 2, SAME_FUNCTION: 3}
"""How much each verdict proves."""


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity in one precision.

    The first numbers compare the two sides with each other; `error`, `floor`, `margin` and `limit` say what the
    verdict rests on. A number that does not exist (of shapes that differ, of a key that one side lacks) is None.

    Attributes:
        key: The quantity: `bp/gradient/norm.weight`.
        step: The step that recorded it.
        kind: What it is: `output`, `gradient`, `parameter`, `loss`, `metric`, `ranking` or `input`.
        dtype: The precision of the computation: `float32` or `float64`.
        mean: Mean absolute difference of the two sides.
        max: Largest absolute difference of the two sides.
        rel_l2: L2 norm of their difference over the L2 norm of the reference.
        error: What is held against the limit: in float32 the candidate's distance from the reference's float64 result,
            else `rel_l2` again; relative to the L2 norm of the reference.
        floor: The measured rounding noise, as a relative L2; None where nothing measures it.
        margin: How many times the floor the error is (where there is a floor), else the share of the limit it uses up.
        limit: The largest admissible `margin` where there is a floor, else the largest admissible `rel_l2`.
        verdict: What follows.
        reason: Why, in words.
        reprod_log: What reprod_log's own check says of the same arrays, where files of reprod_log are compared.
    """

    key: str
    step: str
    kind: str
    dtype: str
    mean: float | None
    max: float | None
    rel_l2: float | None
    verdict: Verdict
    reason: str
    error: float | None = None
    floor: float | None = None
    margin: float | None = None
    limit: float | None = None
    reprod_log: MeanCheck | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of an alignment or a comparison.

    Attributes:
        verdict: The verdict on the whole, see `overall`.
        model: The model's name; empty where it is not known.
        steps: The steps that were compared, in order.
        rows: One a quantity and precision, in the order of the steps.
        device: The candidate's device, `cpu` or `gpu`.
        environments: For each side, what its manifest says of it: backend, versions, threads, device, flags.
        command: The command line.
        created: ISO 8601 time with its zone.
        notes: What a reader must know beside the rows: what was skipped, what was judged by tolerance only.
        schema_version: Version of this file's layout.
    """

    verdict: Verdict
    model: str
    steps: tuple[str, ...]
    rows: tuple[Row, ...]
    device: str = "cpu"
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    command: str = ""
    created: str = ""
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that diverge."""
        return tuple(row for row in self.rows if row.verdict == DIVERGENCE)

    @property
    def passed(self) -> bool:
        """Whether something was compared and nothing diverges."""
        return bool(self.rows) and self.verdict != DIVERGENCE


def overall(rows: tuple[Row, ...]) -> Verdict:
    """The verdict on the whole: one divergence decides, else the quantity with the weakest evidence does.

    A quantity that float64 certifies is certified, even though its float32 row can only say `rounding`.
    """
    if not rows or any(row.verdict == DIVERGENCE for row in rows):
        return DIVERGENCE
    best: dict[str, Verdict] = {}
    for row in rows:
        best[row.key] = max(best.get(row.key, row.verdict), row.verdict, key=STRENGTH.__getitem__)
    return min(best.values(), key=STRENGTH.__getitem__)


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Write a report as JSON, atomically.

    Raises:
        FileError: the file cannot be written.
    """
    write_text(dumps(report), path, "the report")


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read what `write_report` wrote.

    Raises:
        FileError: it cannot be read, is not a report, contradicts itself, or another version of the toolkit wrote it.
    """
    path = Path(path)
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(path, f"the report cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FileError(path, f"not a report: not valid JSON ({error})") from None
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise FileError(path, f"not a report: schema version {version!r}, this version reads {SCHEMA_VERSION}")
    try:
        report = decode(Report, value)
    except FieldError as error:
        raise FileError(path, str(error)) from None
    problems = list(_contradictions(report))
    if problems:
        shown = (*problems[1:_PROBLEMS], *([f"and {len(problems) - _PROBLEMS} more"] if problems[_PROBLEMS:] else ()))
        raise FileError(path, f"not what an alignment wrote: {problems[0]}", shown)
    return report


def _contradictions(report: Report) -> Iterator[str]:
    """What no alignment says of itself: each with its place, what is there and what was expected."""
    given = overall(report.rows)
    if report.rows and report.verdict != given:
        yield f"verdict: {report.verdict!r}, but its rows give {given!r}; run the alignment again"
    steps = set(report.steps)
    for number, row in enumerate(report.rows):
        where = f"rows[{number}]"
        if row.step not in steps:
            yield f"{where}.step: {printable(row.step)!r} is not among the report's steps"
        for name in _NUMBERS:
            value = getattr(row, name)
            if value is None:
                continue
            if value < 0:
                yield f"{where}.{name}: {value:g} is negative, expected 0 or more"
            elif math.isnan(value) and row.verdict != DIVERGENCE:
                yield f"{where}.{name}: NaN in a row that says {row.verdict!r}; what is not known diverges"


def dumps(report: Report) -> str:
    """The report as JSON text, one stable order of fields, numbers that are not finite as strings."""
    return json.dumps(encode(report), indent=1, allow_nan=False) + "\n"
