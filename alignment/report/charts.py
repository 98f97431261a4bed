"""Computes the charts of a report: the error of every quantity on a log axis, with noise floor and limit.

A chart is points, paths and ticks in the units of its view box; a template writes them as SVG.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from alignment.judging.noise import EPS64_OVER_EPS32
from alignment.results.report import DIVERGENCE, Report, Row

Where: TypeAlias = Literal["axis", "zero", "off"]

WIDTH, LEFT, RIGHT = 640.0, 72.0, 14.0
TOP, FOOT = 26.0, 238.0
_NOT_DRAWN = {"parameter", "metric", "ranking", "input", "integers", "setting", "count", "picture", "sample"}
_FEWEST = 2
_MOST_LABELS = 14
_LETTER = 7.0
_LONGEST = 15
_MOST_TICKS = 7
_EDGE = 14.0
_INDEX = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Point:
    """The point of one quantity.

    Attributes:
        x: Its place along the x axis.
        y: Its height.
        where: `axis`, `zero` (the error is zero, which no log axis has) or `off` (there is no finite error).
        diverged: True if it is a divergence.
        label: Its name and numbers, shown when the mouse points at it.
    """

    x: float
    y: float
    where: Where
    diverged: bool
    label: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark at an axis, with its text; `end` is the end of the marked range on the x axis."""

    at: float
    text: str
    end: float = 0.0


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart of one step, kind and precision.

    Attributes:
        title: The precision.
        summary: The content of the drawing in words.
        points: The quantities in order of execution.
        line: SVG path through the points.
        floor: SVG path of the noise floor; empty if it was not measured.
        band: SVG path of the area below the floor.
        limit: SVG path of the limit.
        ticks: Powers of ten.
        groups: Modules along the x axis, in order.
        slanted: True if the groups' names need more room than they have.
        zero: Height of errors of zero; None if there are none.
        off: Height of points without a finite error; None if there are none.
    """

    title: str
    summary: str
    points: tuple[Point, ...]
    line: str
    floor: str
    band: str
    limit: str
    ticks: tuple[Tick, ...]
    groups: tuple[Tick, ...]
    slanted: bool
    zero: float | None
    off: float | None


def charts(report: Report) -> tuple[tuple[str, tuple[Chart, ...]], ...]:
    """Return the charts of a report: for each step and kind a title, and one chart a precision."""
    floors = {row.key: row.floor for row in report.rows if row.dtype == "float32"}
    drawn = [row for row in report.rows if row.kind not in _NOT_DRAWN]
    titled = []
    for (step, kind), rows in grouped(drawn, "step", "kind").items():
        panels = [in_order(panel, kind) for _, panel in sorted(grouped(rows, "dtype").items(), reverse=True)]
        title = f"{step}: {_DIRECTIONS.get(kind, f'{kind}s, in order')}"
        drawings = tuple(_chart(panel, floors) for panel in panels if len(panel) >= _FEWEST)
        if drawings:
            titled.append((title, drawings))
    return tuple(titled)


_DIRECTIONS = {
    "output": "outputs, from first to last",
    "gradient": "gradients, from the head back to the input",
    "loss": "losses",
    "weights": "weights, as the model declares them",
}


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[str, ...], list[Row]]:
    """Group rows by the values of these fields, in the order in which the values appear first."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, name) for name in names), []).append(row)
    return groups


def in_order(rows: list[Row], kind: str) -> list[Row]:
    """Sort rows of one step, kind and precision in the order of execution.

    The logits come last, and gradients from the head, whose parameters are declared last.
    """
    if kind == "gradient":
        named = _interleaved([row for row in rows if _name(row) != "input"])
        return named[::-1] + [row for row in rows if _name(row) == "input"]
    return sorted(rows, key=lambda row: _name(row) == "logits")


def _interleaved(rows: list[Row]) -> list[Row]:
    """Merge two lists of modules that run by turns: the second is shorter by one.

    PiT declares `transformers.{0..2}` and then `pools.{0..1}`, and runs them by turns.
    """
    runs = [(name, list(run)) for name, run in groupby(rows, key=_list_of)]
    ordered: list[Row] = []
    while runs:
        name, run = runs.pop(0)
        lists = [members for name, members in ((name, run), *runs[:1]) if name]
        indices = [{_name(row).split(".")[1] for row in members} for members in lists]
        if len(indices) == 2 and len(indices[0]) == len(indices[1]) + 1:
            run = sorted(run + runs.pop(0)[1], key=lambda row: int(_name(row).split(".")[1]))
        ordered += run
    return ordered


def _list_of(row: Row) -> str:
    """Return the list of modules at the top of the model that a parameter is in; empty for none."""
    head, dot, _ = _module(_name(row)).partition(".")
    return head if dot else ""


def _name(row: Row) -> str:
    return row.key.rpartition("/")[2]


def _chart(rows: Sequence[Row], floors: dict[str, float | None]) -> Chart:
    measured = [_floor(row, floors) for row in rows]
    limits = [_finite(row.admissible_error) for row in rows]
    errors = [_error(row) for row in rows]
    axis = _Axis([value for value in (*measured, *limits, *errors) if value])
    xs = [LEFT + (index + 0.5) * (WIDTH - LEFT - RIGHT) / len(rows) for index in range(len(rows))]
    points = tuple(_point(x, row, error, axis) for x, row, error in zip(xs, rows, errors, strict=True))
    half = (WIDTH - LEFT - RIGHT) / len(rows) / 2
    groups, slanted = _groups(rows, xs, half)
    return Chart(
        title=rows[0].dtype,
        summary=_summary(rows),
        points=points,
        line=_line(points),
        floor=_steps(xs, half, map(axis.at, measured)),
        band=_steps(xs, half, map(axis.at, measured), area=True),
        limit=_steps(xs, half, map(axis.at, limits)),
        ticks=axis.ticks,
        groups=groups,
        slanted=slanted,
        zero=FOOT if any(point.where == "zero" for point in points) else None,
        off=TOP if any(point.where == "off" for point in points) else None,
    )


class _Axis:
    """Log axis over some positive numbers, with room for zero below and for what is off it above."""

    def __init__(self, values: Iterable[float]) -> None:
        exponents = [math.log10(value) for value in values]
        self._low = math.floor(min(exponents, default=-1) - 0.2)
        self._high = max(math.ceil(max(exponents, default=0) + 0.2), self._low + 1)

    def at(self, value: float | None) -> float | None:
        """Return the height of a number; None for None and zero."""
        return None if not value else self._height(math.log10(value))

    @property
    def ticks(self) -> tuple[Tick, ...]:
        every = max(1, math.ceil((self._high - self._low) / _MOST_TICKS))
        return tuple(Tick(self._height(power), f"1e{power}") for power in range(self._low, self._high + 1, every))

    def _height(self, exponent: float) -> float:
        share = (exponent - self._low) / (self._high - self._low)
        bottom, top = FOOT - _EDGE, TOP + _EDGE
        return round(bottom - share * (bottom - top), 1)


def _floor(row: Row, floors: dict[str, float | None]) -> float | None:
    if row.dtype != "float64" or row.floor is not None:
        return _finite(row.floor)
    scaled = _finite(floors.get(row.key))
    return None if scaled is None else scaled * EPS64_OVER_EPS32


def _error(row: Row) -> float | None:
    """Return the relative L2 error; where one element decides, the L2 error with the same multiple of the noise."""
    error = row.rel_l2 if row.error is None else row.error
    if error is not None and row.floor is not None and row.margin is not None:
        error = max(error, row.floor * row.margin)
    return _finite(error)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _point(x: float, row: Row, error: float | None, axis: _Axis) -> Point:
    where: Where = "off" if error is None else "axis" if error else "zero"
    height = axis.at(error)
    y = height if height is not None else TOP if where == "off" else FOOT
    number = "no finite error" if error is None else f"error {error:.1e}"
    limit = _finite(row.admissible_error)
    admissible = "" if limit is None else f", {limit:.1e} admissible"
    return Point(round(x, 1), y, where, row.verdict == DIVERGENCE, f"{row.key}: {number}{admissible}, {row.verdict}")


def _line(points: Sequence[Point]) -> str:
    """Return the path of the points on the axis, with a gap at every other point."""
    runs = groupby(points, key=lambda point: point.where == "axis")
    return "".join("M" + "L".join(f"{point.x} {point.y}" for point in run) for drawn, run in runs if drawn)


def _steps(xs: Sequence[float], half: float, heights: Iterable[float | None], *, area: bool = False) -> str:
    """Return the path of a step function where it is known, or of the area below it."""
    path = ""
    for known, run in groupby(zip(xs, heights, strict=True), key=lambda place: place[1] is not None):
        if known:
            places = list(run)
            left = f"{places[0][0] - half:.1f}"
            line = "".join(f"V{height}H{x + half:.1f}" for x, height in places)
            path += f"M{left} {places[0][1]}{line}{f'V{FOOT}H{left}Z' if area else ''}"
    return path


def _groups(rows: Sequence[Row], xs: Sequence[float], half: float) -> tuple[tuple[Tick, ...], bool]:
    """Return the groups of a chart's x axis and whether their names are slanted.

    Few quantities are groups by themselves; many are grouped by module, and names that would overlap are left out.
    """
    names = [_name(row) for row in rows]
    few = len(names) <= _MOST_LABELS
    groups, index = [], 0
    for head, members in groupby(names, key=(lambda name: name) if few else _module):
        end = index + len(list(members)) - 1
        text = head if len(head) <= _LONGEST else f"…{head[1 - _LONGEST :]}"
        groups.append(Tick(round(xs[index] - half, 1), text, round(xs[end] + half, 1)))
        index = end + 1
    fit = all(_extent(tick)[1] - _extent(tick)[0] <= tick.end - tick.at for tick in groups)
    return tuple(groups if few else _uncrowded(groups)), few and not fit


def _module(name: str) -> str:
    """Return the module at the top of the model, with its index in a list."""
    head, *rest = name.split(".")
    return f"{head}.{rest[0]}" if rest and _INDEX.fullmatch(rest[0]) else head


def _uncrowded(groups: list[Tick]) -> Iterator[Tick]:
    """Return the groups, with names for the widest ones as long as there is room."""
    taken: list[tuple[float, float]] = []
    for tick in sorted(groups, key=lambda tick: tick.at - tick.end):
        low, high = _extent(tick)
        if low >= 0 and high <= WIDTH and all(high < start or low > end for start, end in taken):
            taken.append((low, high))
    named = set(taken)
    return (tick if _extent(tick) in named else Tick(tick.at, "", tick.end) for tick in groups)


def _extent(tick: Tick) -> tuple[float, float]:
    """Return where the text below a group begins and ends, with the room of a letter to its neighbours."""
    middle, half = (tick.at + tick.end) / 2, (len(tick.text) + 1) * _LETTER / 2
    return middle - half, middle + half


def _summary(rows: Sequence[Row]) -> str:
    diverged = [row for row in rows if row.verdict == DIVERGENCE]
    errors = [error for row in rows if (error := _error(row)) is not None]
    extent = f"errors from {min(errors):.1e} to {max(errors):.1e}" if errors else "no finite errors"
    if not diverged:
        return f"{len(rows)} quantities, {extent}, all below their limit"
    return f"{len(rows)} quantities, {extent}; {len(diverged)} diverge, the first is {diverged[0].key}"
