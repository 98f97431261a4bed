"""Why a report says what it says, in one line, and which of its rows are the worst."""

from __future__ import annotations

from collections.abc import Iterator

from alignment.report.model import ROUNDING, SAME_FUNCTION, WITHIN_TOLERANCE, Report, Row


def headline(report: Report) -> str:
    """Why the verdict is what it is, in one line."""
    failures = report.failures
    if failures:
        first = min(failures, key=lambda row: (report.steps.index(row.step), row.dtype != "float64", _last(row)))
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
        error = max(row.error or 0.0 for row in certified)
        yield f"float64 agrees in all {len(certified)} quantities, to a relative L2 of {error:.1e} or better"
    if rounded:
        margin = max(row.margin or 0.0 for row in rounded)
        yield f"float32 differs by rounding, at most {margin:.2g} times the measured noise"
    if tolerated:
        error = max(row.error or 0.0 for row in tolerated)
        yield f"{len(tolerated)} within tolerance, to a relative L2 of {error:.1e}, without float64 evidence"
    if sampled:
        yield f"{len(sampled)} tensors are drawn from the same distributions as far as their values tell"
    if not (certified or rounded or tolerated or sampled):
        yield f"all {len(rows)} rows are exactly equal"


def _last(row: Row) -> bool:
    """Whether a row is of what a model computes last, which is recorded first."""
    return row.key.endswith("/logits")


def badness(row: Row) -> tuple[bool, float, float]:
    """A key to sort rows by, the worst last: what cannot be measured, then by margin, then by error."""
    return (row.max is None, row.margin or 0.0, row.rel_l2 or 0.0)
