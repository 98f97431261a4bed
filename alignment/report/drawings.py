"""Computes the drawings of histograms and courses, which templates write as SVG; see `alignment.report.charts`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from alignment.report.charts import FOOT, LEFT, RIGHT, TOP, WIDTH, Tick
from alignment.report.details import BINS_A_DECADE, Course, Distribution, Histogram

_LOWEST = -40
_GAP = 62.0
"""Width of the bar for elements without any error, left of the log axis."""
_HEAD = 12.0
_MOST_TICKS = 8
_TINY, _HUGE = 1e-300, 1e300
_MAX = sys.float_info.max / _HUGE


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing of one quantity.

    Attributes:
        title: The quantity and its precision.
        summary: The content of the drawing in words.
        paths: SVG paths by their class in the style sheet; empty where there is nothing to draw.
        x_ticks: Marks along the x axis.
        y_ticks: Marks along the y axis.
    """

    title: str
    summary: str
    paths: Mapping[str, str]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def draw_histogram(distribution: Distribution) -> Drawing:
    """Return the drawing of a distribution: the candidate's errors as bars, the reference's own as an outline.

    Ticks are powers of ten along the x axis and shares of the elements along the y axis.
    """
    histograms = [histogram for histogram in (distribution.error, distribution.noise) if histogram is not None]
    first, last = _extent(histograms)
    highest = max(max((*histogram.counts, histogram.equal)) / histogram.total for histogram in histograms) or 1.0
    at = _Bins(first, last, highest)
    error = distribution.error
    every = max(1, math.ceil((last - first) / BINS_A_DECADE / _MOST_TICKS))
    decades = range(_LOWEST + first // BINS_A_DECADE, _LOWEST + last // BINS_A_DECADE + 1, every)
    noise = "" if distribution.noise is None else at.outline(distribution.noise)
    equal = at.bar(LEFT + 8, LEFT + 30, error.equal / error.total) if error.equal else ""
    return Drawing(
        title=f"{distribution.row.key}, {distribution.row.dtype}",
        summary=_histogram_summary(distribution),
        paths={"bars": "".join(at.bars(error)), "outline": noise, "equal": equal},
        x_ticks=tuple(Tick(at.x((power - _LOWEST) * BINS_A_DECADE), f"1e{power}") for power in decades),
        y_ticks=tuple(Tick(at.y(highest * part), f"{highest * part:.0%}") for part in (0.5, 1)),
    )


def draw_course(course: Course) -> Drawing:
    """Return the drawing of a course, the candidate's curve over the reference's, with gaps at non-finite numbers."""
    values = [value for value in (*course.reference, *course.candidate) if math.isfinite(value)] or [0.0]
    ticks = _round_numbers(min(values), max(values))
    low, high = ticks[0], ticks[-1]
    count = len(course.reference)

    def point(index: int, value: float) -> tuple[float, float]:
        x = LEFT + _HEAD + index * (WIDTH - RIGHT - LEFT - 2 * _HEAD) / (count - 1)
        share = (value / 2 - low / 2) / (high / 2 - low / 2)
        return round(x, 1), round(FOOT - _HEAD - share * (FOOT - TOP - 2 * _HEAD), 1)

    every = max(1, math.ceil(count / _MOST_TICKS))
    return Drawing(
        title=f"{course.name}, {course.dtype}",
        summary=_course_summary(course),
        paths={"under": _path(course.reference, point), "over": _path(course.candidate, point)},
        x_ticks=tuple(Tick(point(index, low)[0], str(index)) for index in range(0, count, every)),
        y_ticks=tuple(Tick(point(0, value)[1], f"{value:.4g}") for value in ticks),
    )


class _Bins:
    """Places of a histogram's bins; the first and the last edge are whole decades."""

    def __init__(self, first: int, last: int, highest: float) -> None:
        self._first, self._last, self._highest = first, last, highest

    def x(self, edge: int) -> float:
        share = (edge - self._first) / (self._last - self._first)
        return round(LEFT + _GAP + share * (WIDTH - RIGHT - LEFT - _GAP), 1)

    def y(self, share: float) -> float:
        return round(FOOT - share / self._highest * (FOOT - TOP - _HEAD), 1)

    def bar(self, begin: float, end: float, share: float) -> str:
        return f"M{begin} {FOOT}V{self.y(share)}H{end}V{FOOT}Z"

    def bars(self, histogram: Histogram) -> Iterator[str]:
        for index in range(self._first, self._last):
            if histogram.counts[index]:
                yield self.bar(self.x(index) + 0.5, self.x(index + 1) - 0.5, histogram.counts[index] / histogram.total)

    def outline(self, histogram: Histogram) -> str:
        steps = (
            f"V{self.y(histogram.counts[index] / histogram.total)}H{self.x(index + 1)}"
            for index in range(self._first, self._last)
        )
        return f"M{self.x(self._first)} {FOOT}{''.join(steps)}V{FOOT}"


def _extent(histograms: Sequence[Histogram]) -> tuple[int, int]:
    """Return the first bin to draw and the one after the last, at whole decades, at least two of them."""
    used = [index for histogram in histograms for index, count in enumerate(histogram.counts) if count]
    if not used:
        used = [-_LOWEST * BINS_A_DECADE - 1]
    first = min(used) // BINS_A_DECADE * BINS_A_DECADE
    last = (max(used) // BINS_A_DECADE + 1) * BINS_A_DECADE
    return (first, last) if last - first > BINS_A_DECADE else (first - BINS_A_DECADE, last)


def _histogram_summary(distribution: Distribution) -> str:
    error, noise = distribution.error, distribution.noise
    parts = [f"{error.total:,} elements, {error.equal / error.total:.0%} without any error"]
    if (middle := _median(error)) is not None:
        parts.append(f"half of the others below {middle:.1e} of the root mean square")
    if noise is not None and (own := _median(noise)) is not None:
        parts.append(f"the reference's own rounding: {own:.1e}")
    if error.left_out:
        parts.append(f"{error.left_out:,} are not finite")
    return "; ".join(parts)


def _median(histogram: Histogram) -> float | None:
    """Return the upper edge of the bin with the median error, of the elements with an error; None if there is none."""
    half, seen = sum(histogram.counts) / 2, 0
    for index, count in enumerate(histogram.counts):
        seen += count
        if count and seen >= half:
            return float(10.0 ** (_LOWEST + (index + 1) / BINS_A_DECADE))
    return None


def _course_summary(course: Course) -> str:
    pairs = list(zip(course.reference, course.candidate, strict=True))
    # The distance is infinite only if one of the two numbers is not finite.
    apart = [
        min(abs(one - other), sys.float_info.max) if math.isfinite(one) and math.isfinite(other) else math.inf
        for one, other in pairs
    ]
    worst = max(range(len(apart)), key=apart.__getitem__)
    says = f"{len(pairs)} values, from {course.reference[0]:.4g} to {course.reference[-1]:.4g}"
    if apart[worst] == 0:
        return f"{says}; both sides are equal throughout"
    far = "one side is not finite" if math.isinf(apart[worst]) else f"{apart[worst]:.1e} apart"
    return f"{says}; the sides are furthest apart at {worst}: {far}"


def _path(values: Sequence[float], point: Callable[[int, float], tuple[float, float]]) -> str:
    runs = groupby(enumerate(values), key=lambda place: math.isfinite(place[1]))
    return "".join("M" + "L".join("{} {}".format(*point(*place)) for place in run) for drawn, run in runs if drawn)


def _round_numbers(low: float, high: float) -> list[float]:
    """Return three to seven round numbers around a range, at the ends of the range of float64, too."""
    widest = max(abs(low), abs(high))
    if 0 < widest < _TINY:
        low, high = min(low, 0.0), max(high, _TINY)
    elif widest > _HUGE:
        scaled = _round_numbers(low / _HUGE, high / _HUGE)
        return list(dict.fromkeys(min(max(number, -_MAX), _MAX) * _HUGE for number in scaled))
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (-1.0, 1.0)
    exact = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(exact))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= exact * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]
