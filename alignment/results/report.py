"""The result of one alignment as a value: quantities, how far apart the sides are, and verdicts."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

from alignment.errors import FileError
from alignment.recordings.kernels import Kernel
from alignment.recordings.reprod_check import MeanCheck
from alignment.results.power import Power
from alignment.text_files import decode_from, read_json, to_json, write_text
from porting.visible import printable

Verdict: TypeAlias = Literal["same function", "rounding", "within tolerance", "divergence"]
SAME_FUNCTION: Verdict = "same function"
ROUNDING: Verdict = "rounding"
WITHIN_TOLERANCE: Verdict = "within tolerance"
DIVERGENCE: Verdict = "divergence"

SCHEMA_VERSION = 1
_NUMBERS = ("mean", "max", "rel_l2", "error", "floor", "margin", "limit")
_PROBLEMS = 10
_ROOM = 1 + 1e-9
"""Largest share of a limit that passes; numbers may be rounded when they are written."""
SAMPLE = "sample"
"""Kind of rows that are compared by a statistical test."""
_BY_DISTRIBUTION = (SAMPLE, "picture", "setting")
"""Kinds whose limit is not one of `error`."""
CHECK_POINTS = frozenset(
    {"forward", "metric", "loss", "bp", "batchnorm", "train_mode", "other_inputs"}
    | {"data", "train_data", "init", "schedule", "regularisation", "optimizer", "train", "distributed", "inference"}
)
"""Steps with which keys begin."""
STRENGTH: Mapping[Verdict, int] = {DIVERGENCE: 0, WITHIN_TOLERANCE: 1, ROUNDING: 2, SAME_FUNCTION: 3}
"""How much each verdict proves."""


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity in one precision.

    `mean`, `max` and `rel_l2` compare the two sides; the verdict rests on `error`, `floor`, `margin` and `limit`. A
    number that does not exist (the shapes differ, or one side lacks the key) is None.

    Attributes:
        key: The quantity: `bp/gradient/norm.weight`.
        step: The step that recorded it.
        kind: What it is: `output`, `gradient`, `parameter`, `loss`, `metric`, `ranking` or `input`.
        dtype: The precision of the computation: `float32` or `float64`.
        mean: Mean absolute difference of the two sides.
        max: Largest absolute difference of the two sides.
        rel_l2: L2 norm of their difference over the L2 norm of the reference.
        error: The error that is judged: in float32 the candidate's distance from the reference's float64 result, else
            `rel_l2` again; relative to the L2 norm of the reference.
        floor: The measured rounding noise, as a relative L2; None where nothing measures it.
        margin: How many times the floor the error is (where there is a floor), else the share of the limit it uses up.
        limit: The largest admissible `margin` where there is a floor, else the largest admissible `rel_l2`.
        verdict: The verdict.
        reason: Reason of the verdict, in words.
        reprod_log: Result of reprod_log's own check of the same arrays, if files of reprod_log are compared.
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

    @property
    def admissible_error(self) -> float | None:
        """Largest admissible `error`; None where there is no limit."""
        return self.limit if self.limit is None or self.floor is None else self.limit * self.floor

    @property
    def share_of_limit(self) -> float | None:
        """Margin divided by its limit: 1 is at the limit; None where it is not known.

        Where the limit is zero, any error is infinitely far above it.
        """
        if self.margin is None or self.floor is None:
            return self.margin
        if self.limit is None:
            return None
        return self.margin / self.limit if self.limit else math.inf if self.margin else 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """The result of an alignment or a comparison.

    Attributes:
        verdict: The verdict on the whole, see `overall`.
        cause: What is wrong in one line, where a diagnosis was made: where, what, and where to look.
        model: The model's name; empty where it is not known.
        steps: The steps that were compared, in order.
        rows: One row for each quantity and precision, in the order of the steps.
        device: The candidate's device, `cpu` or `gpu`.
        environments: For each side, backend, versions, threads, device and flags from its manifest.
        command: The command line.
        created: ISO 8601 time with its zone.
        notes: Notes for the reader: what was skipped, what was judged by tolerance only.
        kernels: The frameworks' own kernels in whose place exact versions were run, since the models differ by them;
            none where the models were run as they are.
        apart: Largest relative L2 between what the candidate gives in float64 with these kernels and without.
        power: How many planted mistakes the proof noticed; None where none were planted.
        schema_version: Version of this file's layout.
    """

    verdict: Verdict
    cause: str = field(default="", kw_only=True)
    model: str
    steps: tuple[str, ...]
    rows: tuple[Row, ...]
    device: str = "cpu"
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    command: str = ""
    created: str = ""
    notes: tuple[str, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    apart: float | None = None
    power: Power | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that diverge."""
        return tuple(row for row in self.rows if row.verdict == DIVERGENCE)

    @property
    def passed(self) -> bool:
        """True if something was compared and nothing diverges."""
        return bool(self.rows) and self.verdict != DIVERGENCE

    def raise_for_divergence(self) -> Report:
        """Return the report itself if it passes.

        Raises:
            DivergenceError: Something diverges; the message has the cause or the headline, and the first rows.
            NothingComparedError: It has no rows.
        """
        __tracebackhide__ = True  # of pytest: a test that fails shows its own line
        _showing().refuse_divergence(self)
        return self

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`; raises an `AlignmentError` where pandas is not installed."""
        return _showing().as_data_frame(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return str(_showing().as_html(self))

    def __repr__(self) -> str:
        return str(_showing().in_words(self))


def _showing() -> Any:
    """The module that shows reports, found by name since it imports this one."""
    return import_module("alignment.results.showing")


def overall(rows: tuple[Row, ...]) -> Verdict:
    """Return the verdict on the whole: divergence if one row diverges, else that of the weakest evidence.

    A quantity that float64 certifies is certified, even though its float32 row can only say `rounding`. Samples, which
    are compared by a statistical test, weaken the verdict of others only by diverging.
    """
    computed = tuple(row for row in rows if row.kind != SAMPLE)
    if any(row.verdict == DIVERGENCE for row in rows):
        return DIVERGENCE
    return _weakest(computed or rows)


def _weakest(rows: tuple[Row, ...]) -> Verdict:
    """Return the verdict of the weakest evidence, that of each quantity being its strongest."""
    if not rows:
        return DIVERGENCE
    best: dict[str, Verdict] = {}
    for row in rows:
        best[row.key] = max(best.get(row.key, row.verdict), row.verdict, key=STRENGTH.__getitem__)
    return min(best.values(), key=STRENGTH.__getitem__)


def write_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Write a report as JSON, atomically.

    Raises:
        FileError: The file cannot be written.
    """
    write_text(dumps(report), path, "the report")


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read a report that `write_report` wrote.

    Raises:
        FileError: It cannot be read, is not a report, contradicts itself, or another version of the toolkit wrote it.
    """
    inside = Path(path) / "report.json"
    hint = f"name the file in it: {inside}" if inside.is_file() else "run the alignment, or check the path"
    value = read_json(path, unreadable=f"the report cannot be read: {{}}; {hint}", malformed="not a report: {}")
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version is None:
        raise FileError(path, "not a report: it has no schema_version; a run writes logs/<model>/report.json")
    if version != SCHEMA_VERSION:
        raise FileError(path, f"not a report: schema version {version!r}, this version reads {SCHEMA_VERSION}")
    report = decode_from(path, Report, value)
    problems = list(_contradictions(report))
    if problems:
        shown = (*problems[1:_PROBLEMS], *([f"and {len(problems) - _PROBLEMS} more"] if problems[_PROBLEMS:] else ()))
        raise FileError(path, f"not what an alignment wrote: {problems[0]}", shown)
    return report


def _contradictions(report: Report) -> Iterator[str]:
    """Yield each contradiction with its place, the value and what was expected."""
    expected = overall(report.rows)
    earlier = DIVERGENCE if expected == DIVERGENCE else _weakest(report.rows)  # samples counted like other rows
    if report.rows and report.verdict not in (expected, earlier):
        yield f"verdict: {report.verdict!r}, but its rows give {expected!r}; run the alignment again"
    first: dict[tuple[str, str], int] = {}
    for number, row in enumerate(report.rows):
        where = f"rows[{number}]"
        if (same := first.setdefault((row.key, row.dtype), number)) != number:
            yield f"{where}.key: {printable(row.key)!r} in {printable(row.dtype)} is rows[{same}] already"
        problems = (*_step_problems(row, {*report.steps}), *_number_problems(row))
        yield from (f"{where}.{problem}" for problem in problems)


def _step_problems(row: Row, steps: set[str]) -> Iterator[str]:
    """Yield that the step of a row is none of the report's, or not that of its key."""
    own = row.key.partition("/")[0]
    if row.step not in steps:
        yield f"step: {printable(row.step)!r} is not among the report's steps"
    elif own != row.step and {own, row.step} <= steps | CHECK_POINTS:
        yield f"step: {printable(row.step)!r}, but its key {printable(row.key)!r} is one of {own}"


def _number_problems(row: Row) -> Iterator[str]:
    """Yield the numbers that no row has, or none that passes."""
    for name in _NUMBERS:
        value = getattr(row, name)
        if value is None:
            continue
        if value < 0:
            yield f"{name}: {value:g} is negative, expected 0 or more"
        elif math.isnan(value) and row.verdict != DIVERGENCE:
            yield f"{name}: NaN in a row that says {row.verdict!r}; what is not known diverges"
    if row.verdict != DIVERGENCE:
        yield from _overdrawn(row)


def _overdrawn(row: Row) -> Iterator[str]:
    """Yield what a row that passes cannot hold: an infinite difference, or more than its limit."""
    says = f"in a row that says {row.verdict!r}"
    for name in ("mean", "max", "rel_l2", "error", "margin"):
        if getattr(row, name) == math.inf:
            yield f"{name}: infinite {says}; what is infinitely far apart diverges"
    share = row.share_of_limit
    if share is not None and share > _ROOM and row.margin != math.inf:
        yield f"margin: {row.margin:.3g} {says}, at most {row.limit if row.floor is not None else 1:.3g} is admissible"
    if row.kind in _BY_DISTRIBUTION or row.error is None or row.floor is not None:
        return
    if row.limit is not None and _ROOM * row.limit < row.error < math.inf:
        yield f"limit: {row.limit:.3g}, below the error of {row.error:.3g}, {says}"


def dumps(report: Report) -> str:
    """Return the report as JSON text: one stable order of fields, numbers that are not finite as strings."""
    return to_json(report)
