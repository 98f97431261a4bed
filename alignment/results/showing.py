"""A report in a notebook and in a data frame."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from alignment.errors import AlignmentError, DivergenceError, NothingComparedError
from alignment.results.summary import headline, in_order_of_execution, number, plural
from porting.installing import install_command
from porting.visible import printable

if TYPE_CHECKING:
    from alignment.results.report import Report

_FIRST, _REASONS = 15, 5
_COLOURS = {"divergence": "#b3261e", "within tolerance": "#8a6100"}


def in_words(report: Report) -> str:
    """Return a report in one line: its model, verdict and number of rows."""
    name = printable(report.model) or "without a model"
    return f"<Report {name}: {report.verdict}, {plural(len(report.rows), 'row')}>"


def refuse_divergence(report: Report) -> None:
    """Raise the error of a report that does not pass.

    Raises:
        DivergenceError: Something diverges; the message has the cause or the headline, and the first rows.
        NothingComparedError: It has no rows.
    """
    __tracebackhide__ = True
    if not report.rows:
        raise NothingComparedError("nothing was compared: the report has no rows")
    if not report.passed:
        raise divergence(report)


def divergence(report: Report, *, next_command: str = "") -> DivergenceError:
    """Return the error of a report that diverges, with the cause or the headline, and the first rows.

    Args:
        report: The report.
        next_command: The command that searches for the cause; the last line of the error.
    """
    rows = in_order_of_execution(report)[:_REASONS]
    lines = [f"{row.key} ({row.dtype}): {row.reason}" for row in rows]
    problem = report.cause or headline(report)
    if not any(row.kind == "parameter" for row in report.rows):
        lines.append("weights were not compared: check that both sides have the same")
    following = [f"next: {next_command}"] if next_command else []
    return DivergenceError(f"{report.model or 'the candidate'} diverges: {problem}", [*lines, *following])


def as_html(report: Report) -> str:
    """Return the verdict, its reason, and the first rows that diverge, as HTML for a notebook."""
    report = printable(report)
    colour = _COLOURS.get(report.verdict, "#1b6e3c")
    name = escape(report.model or "without a model")
    lines = [
        f"<p><b>{name}</b> <b style='color:{colour}'>{escape(report.verdict.upper())}</b></p>",
        *([f"<p>cause: <b>{escape(report.cause)}</b></p>"] if report.cause else []),
        f"<p>{escape(headline(report))}</p>",
    ]
    rows = in_order_of_execution(report)
    if rows:
        cells = [
            (row.key, row.dtype, number(row.error if row.error is not None else row.rel_l2), row.reason)
            for row in rows[:_FIRST]
        ]
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in cells)
        lines.append(f"<table><tr><th>diverges</th><th></th><th>error</th><th>why</th></tr>{body}</table>")
        if rows[_FIRST:]:
            lines.append(f"<p>and {len(rows) - _FIRST} more rows that diverge</p>")
    return "".join(lines)


def as_data_frame(report: Report) -> Any:
    """Return the rows as a `pandas.DataFrame`, a column for each attribute of `Row`, and the share of the limit.

    Raises:
        AlignmentError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise AlignmentError(f"a data frame needs pandas: {install_command('pandas')}") from None
    from dataclasses import fields

    names = [field.name for field in fields(report.rows[0])] if report.rows else []
    values = {name: [getattr(row, name) for row in report.rows] for name in names if name != "reprod_log"}
    return pandas.DataFrame({**values, "share_of_limit": [row.share_of_limit for row in report.rows]})
