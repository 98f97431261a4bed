"""Why a report says what it says, in one line, and which of its rows are the worst."""

from __future__ import annotations

import math
from collections.abc import Iterator

from alignment.results.numbers import at_most
from alignment.results.report import ROUNDING, SAME_FUNCTION, WITHIN_TOLERANCE, Report, Row
from alignment.results.share_of_limit import used


def headline(report: Report) -> str:
    """Why the verdict is what it is, in one line."""
    failures = report.failures
    if failures:
        place = {step: number for number, step in enumerate(report.steps)}
        first = min(failures, key=lambda row: (place.get(row.step, len(place)), row.dtype != "float64", _last(row)))
        return f"{len(failures)} of {len(report.rows)} rows diverge, the first is {first.key} ({first.dtype})"
    if not report.rows:
        return "nothing was compared"
    return "; ".join(_because(report.rows))


def _because(rows: tuple[Row, ...]) -> Iterator[str]:
    certified = [row for row in rows if row.dtype == "float64" and row.verdict == SAME_FUNCTION]
    rounded = [row for row in rows if row.verdict == ROUNDING and row.kind != "sample"]
    sampled = [row for row in rows if row.verdict == ROUNDING and row.kind == "sample"]
    tolerated = [row for row in rows if row.verdict == WITHIN_TOLERANCE]
    if certified:
        error = at_most((row.error for row in certified), ".1e")
        yield f"float64 agrees in all {len(certified)} quantities, to a relative L2 of {error} or better"
    if rounded:
        margin = at_most((row.margin for row in rounded), ".2g")
        yield f"float32 differs by rounding, at most {margin} times the measured noise"
    if tolerated:
        error = at_most((row.error for row in tolerated), ".1e")
        yield f"{len(tolerated)} within tolerance, to a relative L2 of {error}, without float64 evidence"
    if sampled:
        yield f"{len(sampled)} tensors are drawn from the same distributions as far as their values tell"
    if not (certified or rounded or tolerated or sampled):
        yield f"all {len(rows)} rows are exactly equal"


def _last(row: Row) -> bool:
    """Whether a row is of what a model computes last, which is recorded first."""
    return row.key.endswith("/logits")


def badness(row: Row) -> tuple[bool, float, float]:
    """A key to sort rows by, the worst last: what cannot be measured, then by the share of the limit, then by error."""
    share, error = (math.inf if math.isnan(value) else value for value in (used(row) or 0.0, row.rel_l2 or 0.0))
    return (row.max is None, share, error)
