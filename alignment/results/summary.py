"""A report's verdict and numbers in words, and the order of its rows: the worst one last.

The words are the same at a terminal and in a page, and an unknown number (NaN) never looks small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from alignment.results.report import ROUNDING, SAME_FUNCTION, WITHIN_TOLERANCE, Report, Row

UNKNOWN = "not known"
OTHER_WEIGHTS = "the two sides started from different weights"
KNOWN_OF = "known of "
"""How a note begins that says what a framework is known to do."""
_TELLING = 1e-9
"""Relative L2 in float64 above which a quantity that passes is rounding alone, such as a gradient that vanishes."""


def headline(report: Report) -> str:
    """Return the reason of the verdict in one line."""
    if report.failures:
        first = in_order_of_execution(report)[0]
        count = f"{len(report.failures)} of {len(report.rows)} rows diverge, the first is {first.key} ({first.dtype})"
        weights = different_weights(report)
        of_all = sum(row.kind == "parameter" for row in report.rows)
        return f"{OTHER_WEIGHTS}: {len(weights)} of {of_all} tensors differ; {count}" if weights else count
    if not report.rows:
        return "nothing was compared"
    return "; ".join((*_evidence(report.rows), *_framework(report)))


def in_order_of_execution(report: Report) -> list[Row]:
    """Return the rows that diverge in the order in which a run computes them: weights, forward, loss, backward."""
    place = {step: number for number, step in enumerate(report.steps)}
    return sorted(
        report.failures,
        # the logits are computed last and recorded first, and the weights are there before
        key=lambda row: (
            place.get(row.step, len(place)),
            row.kind != "parameter" or row.step != "forward",
            row.dtype != "float64",
            row.key.endswith("/logits"),
        ),
    )


def different_weights(report: Report) -> list[Row]:
    """Return the rows of weights that differ before anything was computed."""
    return [row for row in report.failures if row.kind == "parameter" and row.step == "forward"]


def _framework(report: Report) -> Iterator[str]:
    """What is the frameworks' doing: the kernels in whose place exact versions were run; and casts that were lifted."""
    used = [kernel for kernel in report.kernels if kernel.calls]
    distance = f", {number(report.apart)} in all" if report.apart is not None else ""
    for cast, what in ((False, "the frameworks' own differences"), (True, "what the models themselves do in float32")):
        names = [f"{kernel.name} ({plural(kernel.calls, 'call')})" for kernel in used if kernel.cast is cast]
        if names:
            yield f"{what}{distance}: {', '.join(names)}"
            distance = ""


def _evidence(rows: tuple[Row, ...]) -> Iterator[str]:
    certified = [row for row in rows if row.dtype == "float64" and row.verdict == SAME_FUNCTION]
    rounded = [row for row in rows if row.verdict == ROUNDING and row.kind != "sample"]
    sampled = [row for row in rows if row.verdict == ROUNDING and row.kind == "sample"]
    tolerated = [row for row in rows if row.verdict == WITHIN_TOLERANCE]
    if certified:
        alone = [row for row in certified if row.floor is not None and (row.error or 0.0) > _TELLING]
        error = at_most((row.error for row in certified if row not in alone), ".1e")
        noisy = f" ({len(alone)} nothing but rounding, and within its noise)" if alone else ""
        yield f"float64 agrees in {_all(len(certified))}, to a relative L2 of {error} or better{noisy}"
    for dtype in dict.fromkeys(row.dtype for row in rounded):
        multiple = at_most((row.margin for row in rounded if row.dtype == dtype), ".2g")
        yield f"{dtype} differs by rounding, at most {multiple} times the measured noise"
    if tolerated:
        error = at_most((row.error for row in tolerated), ".1e")
        yield f"{len(tolerated)} within tolerance, to a relative L2 of {error}, without float64 evidence"
    if sampled:
        yield f"{len(sampled)} tensors are drawn from the same distributions as far as their values tell"
    if not (certified or rounded or tolerated or sampled):
        yield f"all {len(rows)} rows are exactly equal"


def _all(count: int) -> str:
    """Return how many quantities agree: `all 7 quantities`, `the one quantity`."""
    return f"all {count} quantities" if count != 1 else "the one quantity"


def identical_rows(rows: Sequence[Row]) -> str:
    """Return what is odd about rows of which no floating-point number differs; empty if one does or there is none."""
    computed = [row for row in rows if row.kind in ("output", "gradient", "loss")]
    if not computed or any(row.max != 0 for row in computed):
        return ""
    return (
        f"both sides are equal bit by bit in all {len(computed)} results, as two copies of one run are: check that "
        "these are two models"
    )


def badness(row: Row) -> tuple[bool, float, float]:
    """Return a sort key that puts the worst row last: what cannot be measured, then share of the limit, then error."""
    used, error = (math.inf if math.isnan(value) else value for value in (row.share_of_limit or 0.0, row.rel_l2 or 0.0))
    return (row.max is None, used, error)


def largest(values: Iterable[float | None]) -> float | None:
    """Return the largest value that is not None; NaN if one is NaN, None if there is none."""
    known = [value for value in values if value is not None]
    return math.nan if any(map(math.isnan, known)) else max(known, default=None)


def number(value: float | None) -> str:
    """Return an error as the text of a table's cell."""
    return "-" if value is None else "0" if value == 0 else f"{value:.1e}"


def margin(value: float | None) -> str:
    """Return a margin or a limit as the text of a table's cell."""
    return f"{value:.2f}" if value is not None and 0.005 <= value < 1000 else number(value)


def share(value: float) -> str:
    """Return a share of the limit in words."""
    if math.isnan(value):
        return f"{UNKNOWN} how much of the limit"
    if value > 1:
        return f"{margin(value)} times the limit"
    return f"{value:.0%} of the limit" if value >= 0.005 else "below 1% of the limit" if value else "no error at all"


def at_most(values: Iterable[float | None], form: str) -> str:
    """Return the largest value in a format such as `.1e`; 0 if there is none, `not known` if one of them is NaN."""
    value = largest(values)
    return UNKNOWN if value is not None and math.isnan(value) else format(value or 0.0, form)


def plural(count: int | str, noun: str) -> str:
    """Return a number with its noun: `1 failure`, `2 failures`."""
    return f"{count} {noun}{'' if str(count) == '1' else 's'}"
