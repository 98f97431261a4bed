"""The short form of a report's rows at a terminal: a line a step, or the first rows that diverge; 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.text import Text

from alignment.results.report import DIVERGENCE, STRENGTH, Report, Row, Verdict
from alignment.results.summary import badness, in_order_of_execution, largest, margin, number, plural
from porting.names import fold, fold_members

FEW = 15
"""Number of rows that are shown one by one, and of lines of rows that diverge."""
STYLES: dict[Verdict, str] = {
    "same function": "green",
    "rounding": "green",
    "within tolerance": "yellow",
    "divergence": "bold red",
}
_COLUMNS = "  {:>7}  {:>7}  {:>8}  "
_TITLES = ("error", "limit", "of limit")
_VERDICT = max(map(len, STYLES))
_SENTENCES = 3


def overview(report: Report, width: int) -> Iterator[Text]:
    """Yield the lines of a report's rows: one line a step and precision, or the rows that diverge.

    Where the cause of a divergence is known, which the report shows above, only the first of these rows is shown.

    Args:
        report: The report; it has rows.
        width: Number of columns of the terminal.
    """
    failures = in_order_of_execution(report)
    yield Text()
    if failures and report.cause:
        yield Text.assemble((f"{failures[0].key} ({failures[0].dtype}): ", "red"), failures[0].reason)
        yield Text("-v shows the other rows that diverge", style="dim")
    elif failures:
        yield from _diverging(failures, width)
    elif len(report.rows) <= FEW:
        lines = [(f"{_short(row)} ({row.dtype})", [row]) for row in report.rows]
        yield from _table("quantity", lines, width)
    else:
        groups = groupby(report.rows, key=lambda row: (row.step, row.dtype))
        counted = [(f"{step}, {dtype}" if step else dtype, list(rows)) for (step, dtype), rows in groups]
        lines = [(f"{name}: {plural(len(rows), 'row')}", rows) for name, rows in counted]
        yield from _table("step", lines, width)


def _diverging(failures: Sequence[Row], width: int) -> Iterator[Text]:
    """Yield the first quantities that diverge, each in its first precision and indices folded, and a few reasons."""
    failures = list({row.key: row for row in reversed(failures)}.values())[::-1]
    groups = list(_folded(failures))
    yield from _table("diverges, in the order of execution", groups[:FEW], width, verdicts=False)
    rest = [row for _, rows in groups[FEW:] for row in rows]
    if rest:
        names = fold(dict.fromkeys(row.key for row in rest))
        shown = ", ".join([*names[:_SENTENCES], *(["..."] if names[_SENTENCES:] else [])])
        yield Text(f"and {len(rest)} more quantities that diverge: {shown}")
    yield Text()
    for row in failures[:_SENTENCES]:
        yield Text.assemble((f"{row.key} ({row.dtype}): ", "red"), row.reason)


def _folded(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield rows of one step and precision together whose names differ in their indices only."""
    for (_, dtype), run in groupby(rows, key=lambda row: (row.step, row.dtype)):
        group = {row.key: row for row in run}
        for name, members in fold_members(group).items():
            yield f"{name} ({dtype})", [group[member] for member in members]


def _table(title: str, lines: Iterable[tuple[str, list[Row]]], width: int, *, verdicts: bool = True) -> Iterator[Text]:
    """Yield a table of names with the largest numbers of their rows; a name too long for its column comes first."""
    column = width - len(_COLUMNS.format(*_TITLES)) - (_VERDICT if verdicts else 0)
    head = f"{title:<{column}}{_COLUMNS.format(*_TITLES)}{'verdict' if verdicts else ''}"
    yield Text(head.rstrip(), style="underline")
    for name, rows in lines:
        if len(name) > column:
            yield Text(name)
            name = ""
        verdict = min((row.verdict for row in rows), key=STRENGTH.__getitem__)
        word = (verdict.upper() if verdict == DIVERGENCE else verdict) if verdicts else ""
        cells = f"{name:<{column}}{_COLUMNS.format(*_numbers(rows))}"
        yield Text.assemble(cells, (word, STYLES[verdict])) if word else Text(cells.rstrip())


def _numbers(rows: Sequence[Row]) -> tuple[str, str, str]:
    """Return error, limit and share of the limit of the row that is nearest to its limit."""
    worst = max(rows, key=badness)
    error = worst.error if worst.error is not None else worst.rel_l2
    return number(error), number(worst.admissible_error), share_of_limit(largest([worst.share_of_limit]))


def share_of_limit(value: float | None) -> str:
    """Return a share of the limit as the text of a cell: `12%`, `340x`; `-` where there is none."""
    if value is None or math.isnan(value):
        return "-" if value is None else "unknown"
    if value > 1:
        return f"{margin(value) if value < 10 else f'{value:.0f}' if value < 10_000 else f'{value:.0e}'}x"
    return f"{value:.0%}" if value >= 0.005 else "<1%" if value else "0%"


def _short(row: Row) -> str:
    return row.key.removeprefix(f"{row.step}/") if row.step not in ("", row.key) else row.key
