"""Numbers of a report in words, the same on a terminal and in a page; what is not known never looks small."""

from __future__ import annotations

import math
from collections.abc import Iterable

UNKNOWN = "not known"


def largest(values: Iterable[float | None]) -> float | None:
    """The largest of those that are there; NaN if one of them is, None if there is none."""
    known = [value for value in values if value is not None]
    return math.nan if any(map(math.isnan, known)) else max(known, default=None)


def number(value: float | None) -> str:
    """An error, as in a table's cell."""
    return "-" if value is None else "0" if value == 0 else f"{value:.1e}"


def margin(value: float | None) -> str:
    """A margin or a limit, as in a table's cell."""
    return f"{value:.2f}" if value is not None and 0.005 <= value < 1000 else number(value)


def share(value: float) -> str:
    """A share of the limit."""
    if math.isnan(value):
        return f"{UNKNOWN} how much of the limit"
    if value > 1:
        return f"{margin(value)} times the limit"
    return f"{value:.0%} of the limit" if value >= 0.005 else "below 1% of the limit" if value else "no error at all"


def at_most(values: Iterable[float | None], form: str) -> str:
    """The largest of several numbers in a format such as `.1e`; 0 of none, `not known` if one of them is NaN."""
    found = largest(values)
    return UNKNOWN if found is not None and math.isnan(found) else format(found or 0.0, form)


def plural(number: int, noun: str) -> str:
    """A number with its noun: `1 failure`, `2 failures`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
