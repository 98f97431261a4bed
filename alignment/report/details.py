"""Details of the recordings behind a report, for its page: distributions of errors, worst elements, training courses.

A report alone holds one number a quantity. The distribution of the errors of single elements needs the arrays, which a
run leaves in `recordings/` beside its report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import numpy as np

from alignment.arrays import FLOATS, Array
from alignment.errors import AlignmentError, FileError, NothingComparedError
from alignment.judging.compare_paths import open_side
from alignment.judging.measuring import Element
from alignment.recordings.recording import Recording
from alignment.report import charts
from alignment.results.findings import (
    BISECTION_FILE,
    DIAGNOSIS,
    DIAGNOSIS_FILE,
    Bisection,
    cause_line,
    read_findings,
)
from alignment.results.report import DIVERGENCE, Report, Row
from alignment.results.summary import badness
from porting.errors import ExpectedError
from porting.names import nearest
from porting.visible import printable

Sides: TypeAlias = tuple[Mapping[str, Recording], Mapping[str, Recording]]

BINS_A_DECADE = 4
_LOWEST, _HIGHEST = -40, 40
_EDGES = 10.0 ** np.arange(_LOWEST, _HIGHEST + 1 / BINS_A_DECADE, 1 / BINS_A_DECADE)
_BLOCK = 2**20
_WORST = 5
_FEWEST_ELEMENTS = 8
_FEWEST_POINTS = 4
_NUMBERED = re.compile(r"(?P<name>.+)_(?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class Histogram:
    """Errors of single elements divided by the root mean square of the reference.

    Attributes:
        counts: Number of elements in each bin, `BINS_A_DECADE` to a decade, from 1e-40 to 1e40; errors outside are in
            the outermost bins.
        equal: Number of elements without any error.
        left_out: Number of elements that are not finite on one side.
    """

    counts: tuple[int, ...]
    equal: int
    left_out: int

    @property
    def total(self) -> int:
        """Number of all elements."""
        return sum(self.counts) + self.equal + self.left_out


@dataclass(frozen=True, slots=True)
class Distribution:
    """Errors of the elements of one quantity in one precision.

    Attributes:
        row: Its row in the report.
        error: The candidate's errors: in float32 against the reference's float64 result if there is one, else against
            the reference.
        noise: The reference's own errors against its float64 result; None in float64, or without one.
        worst: The elements in which the two sides differ most.
    """

    row: Row
    error: Histogram
    noise: Histogram | None
    worst: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """A number that changes as training goes on, on both sides.

    Attributes:
        name: `train/loss`.
        dtype: The precision.
        reference: The reference's values, in order.
        candidate: The candidate's values, in order.
    """

    name: str
    dtype: str
    reference: tuple[float, ...]
    candidate: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Details:
    """Details of the recordings behind a report.

    Attributes:
        distributions: Errors of the elements of chosen quantities.
        courses: Numbers that change during training.
        diagnosis: The result of a bisection or diagnosis; None if there was none.
        unread: What lies beside the report and could not be read, with the reason; the page goes without it.
    """

    distributions: tuple[Distribution, ...] = ()
    courses: tuple[Course, ...] = ()
    diagnosis: Bisection | None = None
    unread: tuple[str, ...] = ()


def collect(
    report: Report, folder: Path, quantities: Sequence[str] = (), diagnosis: Bisection | None = None
) -> Details:
    """Read the details of a report from the recordings of its run.

    Args:
        report: The report.
        folder: Its folder, with the recordings in `recordings/`; without them there are no details.
        quantities: Keys, or shell patterns of keys, whose distributions to show; by default those that diverge first
            in each step, or else those nearest to their limit.
        diagnosis: A result to show with them; by default the diagnosis of training beside the report.

    Raises:
        FileError: Quantities were requested, and a recording is damaged.
        NothingComparedError: No row of the report has a requested key.
        AlignmentError: Quantities were requested, and the recordings are not there.
    """
    unread: list[str] = []
    if diagnosis is None:
        with _without(unread):
            diagnosis = _beside(report, folder)
    if quantities:
        return replace(_of_recordings(report, folder, quantities), diagnosis=diagnosis, unread=tuple(unread))
    recorded = Details()
    with _without(unread):
        recorded = _of_recordings(report, folder, ())
    return replace(recorded, diagnosis=diagnosis, unread=tuple(unread))


@contextmanager
def _without(unread: list[str]) -> Iterator[None]:
    """Go on without a file that cannot be read, and note the reason."""
    try:
        yield
    except ExpectedError as error:
        unread.append(f"not shown, because it cannot be read: {error.summary}")


def _of_recordings(report: Report, folder: Path, quantities: Sequence[str]) -> Details:
    with ExitStack() as stack:
        sides = open_side(folder, "reference", stack), open_side(folder, "candidate", stack)
        if not (sides[0] and sides[1]):
            if quantities:
                again = printable(report.command or "pit-align all")
                raise AlignmentError(
                    f"{folder.absolute()}: the recordings of this report are not there, so the distribution of "
                    f"{', '.join(quantities)} cannot be shown; run it again ({again})"
                )
            return Details()
        rows = _asked(report, quantities) if quantities else _telling(report)
        distributions = tuple(shown for row in rows if (shown := _distribution(row, sides)) is not None)
        return Details(distributions, tuple(_courses(report, sides)))


def _beside(report: Report, folder: Path) -> Bisection | None:
    """Read the diagnosis that a run left: of its models, or of training."""
    path, of_models = folder / DIAGNOSIS_FILE, folder / DIAGNOSIS / BISECTION_FILE
    if of_models.is_file():
        return Bisection.read(of_models)
    if not path.is_file():
        return None
    dtype = max((row.dtype for row in report.failures), default="")
    backends = [report.environments.get(role, {}).get("backend", "") for role in ("reference", "candidate")]
    findings = read_findings(path)
    cause = cause_line(findings)
    sides = (backends[0], backends[1])
    return Bisection(report.model, sides, dtype, True, findings, (), hypotheses=True, cause=cause)


def diagnosis_of(files: Sequence[Path], reports: Sequence[Report]) -> dict[str, Bisection]:
    """Read bisections from files, by their model.

    Raises:
        FileError: A file cannot be read, or none of the reports is about its model.
    """
    models = [report.model for report in reports]
    bisections: dict[str, Bisection] = {}
    for file in files:
        bisection = Bisection.read(file)
        if bisection.model not in models:
            raise FileError(
                file, printable(f"is about {bisection.model}, and the reports are about {', '.join(models)}")
            )
        bisections[bisection.model] = bisection
    return bisections


def _asked(report: Report, patterns: Sequence[str]) -> list[Row]:
    rows: dict[int, Row] = {}
    for pattern in patterns:
        matching = [row for row in report.rows if fnmatchcase(row.key, pattern)]
        if not matching:
            close = nearest(pattern, {row.key for row in report.rows})
            hint = f"; the nearest is {printable(close[0])}" if close else ""
            raise NothingComparedError(f"no quantity of the report is called {pattern}{hint}")
        rows |= {id(row): row for row in matching}
    return list(rows.values())


def _telling(report: Report) -> list[Row]:
    """Return the row that diverges first in each step and precision; without any, the one nearest to its limit."""
    chosen = []
    fails = bool(report.failures)
    for (_, kind, _), rows in charts.grouped(report.rows, "step", "kind", "dtype").items():
        diverged = [row for row in rows if row.verdict == DIVERGENCE]
        if fails:
            chosen += charts.in_order(diverged, kind)[:1]
        elif kind in ("output", "gradient", "weights"):
            chosen.append(max(rows, key=badness))
    return chosen


def _distribution(row: Row, sides: Sides) -> Distribution | None:
    """Return the distribution of a row's errors; None for too few elements, or arrays that cannot be subtracted."""
    reference, candidate = (side[row.dtype].get(row.key) if row.dtype in side else None for side in sides)
    best = sides[0]["float64"].get(row.key) if "float64" in sides[0] else None
    if reference is None or candidate is None or reference.shape != candidate.shape:
        return None
    if reference.size < _FEWEST_ELEMENTS or reference.dtype.name not in FLOATS:
        return None
    exact = best if row.dtype == "float32" and best is not None and best.shape == reference.shape else None
    truth = reference if exact is None else exact
    return Distribution(
        row,
        _histogram(truth, candidate),
        None if exact is None else _histogram(truth, reference),
        _worst(reference, candidate),
    )


def _histogram(truth: Array, array: Array) -> Histogram:
    scale = _root_mean_square(truth)
    counts = np.zeros(len(_EDGES) - 1, np.int64)
    equal = left_out = 0
    for one, other in _blocks(truth, array):
        errors = np.abs(one - other) / scale
        finite = np.isfinite(errors)
        left_out += int(errors.size - np.count_nonzero(finite))
        equal += int(np.count_nonzero(errors == 0))
        inside = np.clip(errors[finite & (errors != 0)], _EDGES[0], np.nextafter(_EDGES[-1], 0))
        counts += np.histogram(inside, _EDGES)[0]
    return Histogram(tuple(counts.tolist()), equal, left_out)


def _root_mean_square(array: Array) -> float:
    """Return the root mean square of the finite elements; 1 if they are all zero.

    The elements are scaled by the largest before they are squared, so that no square overflows or vanishes.
    """
    finite = (block[np.isfinite(block)] for block, _ in _blocks(array, array))
    largest = max((float(np.max(np.abs(block), initial=0.0)) for block in finite), default=0.0)
    if not largest:
        return 1.0
    total, count = 0.0, 0
    for block, _ in _blocks(array, array):
        scaled = block[np.isfinite(block)] / largest
        total, count = total + float(np.einsum("i,i->", scaled, scaled)), count + scaled.size
    return largest * float(np.sqrt(total / count))


def _blocks(one: Array, other: Array) -> Iterator[tuple[Array, Array]]:
    flat = one.reshape(-1), other.reshape(-1)
    with np.errstate(invalid="ignore", over="ignore"):
        for begin in range(0, one.size, _BLOCK):
            first, second = (array[begin : begin + _BLOCK].astype(np.float64) for array in flat)
            yield first, second


def _worst(reference: Array, candidate: Array) -> tuple[Element, ...]:
    """Return the elements that differ most; those that are not finite first."""
    worst: list[tuple[float, int, float, float]] = []
    for number, (one, other) in enumerate(_blocks(reference, candidate)):
        distances = np.abs(one - other)
        distances[np.isnan(distances)] = np.inf
        top = np.argsort(-distances, kind="stable")[:_WORST]
        worst += [
            (-float(distances[at]), number * _BLOCK + int(at), float(one[at]), float(other[at]))
            for at in top
            if distances[at] > 0
        ]
        worst = sorted(worst)[:_WORST]
    return tuple(
        Element(tuple(int(i) for i in np.unravel_index(flat, reference.shape)), one, other)
        for _, flat, one, other in worst
    )


def _courses(report: Report, sides: Sides) -> Iterator[Course]:
    for dtype in dict.fromkeys(row.dtype for row in report.rows):
        if dtype in sides[0] and dtype in sides[1]:
            for name, keys in _series(report, dtype).items():
                values = [_values(side[dtype], keys) for side in sides]
                if len(values[0]) >= _FEWEST_POINTS and len(values[0]) == len(values[1]):
                    yield Course(name, dtype, *values)


def _series(report: Report, dtype: str) -> dict[str, list[str]]:
    """Return the keys of each quantity that training records repeatedly, in order: `train/loss_0`, ..."""
    series: dict[str, list[str]] = {}
    for row in report.rows:
        if row.dtype != dtype or row.kind not in ("loss", "setting", "output"):
            continue
        numbered = _NUMBERED.fullmatch(row.key)
        if numbered is not None:
            series.setdefault(numbered["name"], []).append(row.key)
        elif row.kind == "setting":
            series[row.key] = [row.key]
    return {name: sorted(keys, key=lambda key: (len(key), key)) for name, keys in series.items()}


def _values(recording: Recording, keys: Iterable[str]) -> tuple[float, ...]:
    """Return the values of several scalars, or the elements of one array; empty if they are neither."""
    arrays = [recording.get(key) for key in keys]
    several = len(arrays) > 1
    if any(array is None or array.dtype.kind not in "fiu" or (several and array.size != 1) for array in arrays):
        return ()
    return tuple(float(value) for array in arrays if array is not None for value in array.reshape(-1))
