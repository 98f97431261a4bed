"""What a page shows beside a report's rows, from the recordings behind it: distributions, worst elements and courses.

A report alone holds one number a quantity. How the error of single elements is distributed, and whether it looks like
rounding does, needs the arrays, which a run leaves in `recordings/` beside its report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

import numpy as np

from alignment.arrays import FLOATS, Array
from alignment.errors import AlignmentError, FileError, NothingComparedError
from alignment.judging.compare_paths import open_side
from alignment.recordings.recording import Recording
from alignment.report import charts
from alignment.results.findings import DIAGNOSIS_FILE, Bisection, read_findings
from alignment.results.report import DIVERGENCE, Report, Row
from alignment.results.summary import badness
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
    """How large the errors of single elements are, over the root mean square of the reference.

    Attributes:
        counts: Elements in each bin, `BINS_A_DECADE` to a decade, from 1e-40 on; what is outside is in the outermost.
        equal: Elements without any error.
        left_out: Elements that are not finite on either side.
    """

    counts: tuple[int, ...]
    equal: int
    left_out: int

    @property
    def total(self) -> int:
        """All elements."""
        return sum(self.counts) + self.equal + self.left_out


@dataclass(frozen=True, slots=True)
class WorstElement:
    """One of the elements that differ most."""

    index: tuple[int, ...]
    reference: float
    candidate: float

    @property
    def difference(self) -> float:
        """The candidate's value less the reference's."""
        return self.candidate - self.reference


@dataclass(frozen=True, slots=True)
class Distribution:
    """One quantity in one precision.

    Attributes:
        row: What the report says of it.
        error: The candidate's errors: in float32 against the reference's float64 result where there is one, else
            against the reference.
        noise: The reference's own errors against its float64 result; None in float64, or without one.
        worst: The elements in which the two sides differ most.
    """

    row: Row
    error: Histogram
    noise: Histogram | None
    worst: tuple[WorstElement, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """A number that changes as training goes on, on both sides.

    Attributes:
        name: `train/loss`.
        dtype: The precision.
        reference: Its values, in order.
        candidate: Likewise.
    """

    name: str
    dtype: str
    reference: tuple[float, ...]
    candidate: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Details:
    """What the recordings behind a report show.

    Attributes:
        distributions: Of chosen quantities.
        courses: Of training.
        diagnosis: What was found to be to blame; None where nobody looked.
    """

    distributions: tuple[Distribution, ...] = ()
    courses: tuple[Course, ...] = ()
    diagnosis: Bisection | None = None


def collect(
    report: Report, folder: Path, quantities: Sequence[str] = (), diagnosis: Bisection | None = None
) -> Details:
    """Read what is behind a report.

    Args:
        report: The report.
        folder: Where it lies; its recordings are in `recordings/`. Without them there is nothing to show.
        quantities: Keys, or patterns of them as in a shell, whose distribution to show; by default what diverges first
            in each step, or else what came nearest to its limit.
        diagnosis: To be shown with them; by default that of a check point of training which lies beside the report.

    Raises:
        FileError: A recording is damaged.
        NothingComparedError: No row of the report has a key that was asked for.
        AlignmentError: Quantities were asked for, and the recordings are not there.
    """
    diagnosis = diagnosis or _beside(report, folder)
    with ExitStack() as stack:
        sides = open_side(folder, "reference", stack), open_side(folder, "candidate", stack)
        if not (sides[0] and sides[1]):
            if quantities:
                again = printable(report.command or "pit-align all")
                raise AlignmentError(
                    f"{folder}: the recordings of this report are not there, so the distribution of "
                    f"{', '.join(quantities)} cannot be shown; run it again ({again})"
                )
            return Details(diagnosis=diagnosis)
        rows = _asked(report, quantities) if quantities else _telling(report)
        found = (_distribution(row, sides) for row in rows)
        distributions = tuple(each for each in found if each is not None)
        return Details(distributions, tuple(_courses(report, sides)), diagnosis)


def _beside(report: Report, folder: Path) -> Bisection | None:
    """The findings that `--diagnose` left with a run of training."""
    path = folder / DIAGNOSIS_FILE
    if not path.is_file():
        return None
    dtype = max((row.dtype for row in report.failures), default="")
    backends = [report.environments.get(role, {}).get("backend", "") for role in ("reference", "candidate")]
    findings = read_findings(path)
    return Bisection(report.model, (backends[0], backends[1]), dtype, True, findings, (), hypotheses=True)


def diagnosis_of(files: Sequence[Path], reports: Sequence[Report]) -> dict[str, Bisection]:
    """The bisections in files, by the model that each is of.

    Raises:
        FileError: One of them cannot be read, or is of a model that none of the reports is of.
    """
    models = [report.model for report in reports]
    found: dict[str, Bisection] = {}
    for file in files:
        bisection = Bisection.read(file)
        if bisection.model not in models:
            raise FileError(
                file, printable(f"is about {bisection.model}, and the reports are about {', '.join(models)}")
            )
        found[bisection.model] = bisection
    return found


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
    """What diverges first in each step and precision, else of each step the quantity nearest to its limit."""
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
    """None for what has too few elements, or cannot be subtracted."""
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
    """Of the finite elements; 1 where they are all zero.

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
            left, right = (array[begin : begin + _BLOCK].astype(np.float64) for array in flat)
            yield left, right


def _worst(reference: Array, candidate: Array) -> tuple[WorstElement, ...]:
    """The elements that differ most; those that are not finite first."""
    found: list[tuple[float, int, float, float]] = []
    for number, (one, other) in enumerate(_blocks(reference, candidate)):
        distances = np.abs(one - other)
        distances[np.isnan(distances)] = np.inf
        top = np.argsort(-distances, kind="stable")[:_WORST]
        found += [
            (-float(distances[at]), number * _BLOCK + int(at), float(one[at]), float(other[at]))
            for at in top
            if distances[at] > 0
        ]
        found = sorted(found)[:_WORST]
    return tuple(
        WorstElement(tuple(int(i) for i in np.unravel_index(flat, reference.shape)), one, other)
        for _, flat, one, other in found
    )


def _courses(report: Report, sides: Sides) -> Iterator[Course]:
    for dtype in dict.fromkeys(row.dtype for row in report.rows):
        if dtype in sides[0] and dtype in sides[1]:
            for name, keys in _series(report, dtype).items():
                values = [_values(side[dtype], keys) for side in sides]
                if len(values[0]) >= _FEWEST_POINTS and len(values[0]) == len(values[1]):
                    yield Course(name, dtype, *values)


def _series(report: Report, dtype: str) -> dict[str, list[str]]:
    """Names of what training records again and again, with the keys in order: `train/loss_0`, `train/loss_1`, ..."""
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
    """Scalars one after the other, or the elements of one array."""
    arrays = [recording.get(key) for key in keys]
    several = len(arrays) > 1
    if any(array is None or array.dtype.kind not in "fiu" or (several and array.size != 1) for array in arrays):
        return ()
    return tuple(float(value) for array in arrays if array is not None for value in array.reshape(-1))
