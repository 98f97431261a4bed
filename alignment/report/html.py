"""A report as one HTML file: no script, nothing loaded from elsewhere, light and dark, charts drawn as SVG.

Everything in a report is untrusted text, and is escaped. The page forbids scripts and requests by its own policy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alignment.errors import AlignmentError
from alignment.report import charts
from alignment.report.details import Details, Distribution
from alignment.report.drawings import CourseDrawing, HistogramDrawing, draw_course, draw_histogram
from alignment.results import summary
from alignment.results.findings import Bisection
from alignment.results.report import DIVERGENCE, STRENGTH, Report, Row, Verdict, overall
from alignment.results.summary import badness, headline
from alignment.text_files import write_text
from porting.names import fold
from porting.visible import visible

if TYPE_CHECKING:
    from jinja2 import Environment

SIGNS: dict[str, str] = {
    "same function": "✓",
    "rounding": "≈",
    "within tolerance": "~",
    "divergence": "✗",
}
"""Beside every verdict's name, so that nothing is said by colour alone."""
_TEMPLATES = Path(__file__).with_name("templates")
_WORST = 10
_REASONS = 20


@dataclass(frozen=True, slots=True)
class Cell:
    """What one step showed in one precision.

    Attributes:
        verdict: The weakest of its rows; None where nothing was compared.
        rows: How many were.
        diverged: How many diverge.
        used: The largest share of a limit that is used up, None where none is known.
    """

    verdict: Verdict | None
    rows: int = 0
    diverged: int = 0
    used: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table of all quantities: one row, or many that are exactly equal under one folded name."""

    name: str
    row: Row
    count: int = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """One property of the two environments."""

    name: str
    values: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all sides have the same."""
        return len(set(self.values)) == 1


@dataclass(frozen=True, slots=True)
class Section:
    """What the page says of one report.

    Attributes:
        anchor: Its place in the page.
        name: The model's name.
        report: The report.
        headline: Why the verdict is what it is.
        dtypes: The precisions.
        cells: The steps, with a cell a precision each.
        charts: Titles with panels.
        first: Of each step and kind, the row that diverges first.
        reasons: The rows that diverge, the worst first.
        hidden: The names of those that are too many to list, folded.
        worst: The rows that came nearest to their limit, each precision's own.
        lines: All rows.
        sides: Names of the environments.
        settings: The environments.
        histograms: Chosen quantities with the distribution of their elements' errors.
        courses: What changes as training goes on.
        diagnosis: What was found to be to blame; None where nobody looked.
    """

    anchor: str
    name: str
    report: Report
    headline: str
    dtypes: tuple[str, ...]
    cells: tuple[tuple[str, tuple[Cell, ...]], ...]
    charts: tuple[tuple[str, tuple[charts.Chart, ...]], ...]
    first: tuple[Row, ...]
    reasons: tuple[Row, ...]
    hidden: tuple[str, ...]
    worst: tuple[Row, ...]
    lines: tuple[Line, ...]
    sides: tuple[str, ...]
    settings: tuple[Setting, ...]
    histograms: tuple[tuple[Distribution, HistogramDrawing], ...]
    courses: tuple[CourseDrawing, ...]
    diagnosis: Bisection | None


def render(
    reports: Sequence[Report],
    *,
    details: Sequence[Details] = (),
    title: str = "",
    problems: Mapping[str, str] | None = None,
    skipped: Mapping[str, str] | None = None,
) -> str:
    """One page about one report or several.

    Args:
        reports: In the order of the page.
        details: What the recordings behind each show; none by default.
        title: What the page is called; by default after the model or their number.
        problems: Models that could not be aligned, and why.
        skipped: Models that no step applies to, and why.

    Raises:
        AlignmentError: There is nothing to show.
    """
    problems, skipped = problems or {}, skipped or {}
    if not (reports or problems or skipped):
        raise AlignmentError("no report was given, so there is nothing to render")
    behind = list(details) or [Details()] * len(reports)
    sections = tuple(
        _section(report, found, f"report-{number}")
        for number, (report, found) in enumerate(zip(reports, behind, strict=True), 1)
    )
    verdict = min((report.verdict for report in reports), key=STRENGTH.__getitem__, default=DIVERGENCE)
    steps = tuple(dict.fromkeys(step for report in reports for step in report.steps))
    dtypes = tuple(dict.fromkeys(dtype for section in sections for dtype in section.dtypes))
    name = sections[0].name if len(sections) == 1 else f"{len(sections)} alignments"
    default = f"{name}: {verdict if sections else 'none could run' if problems else 'nothing was compared'}"
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=title or default,
            verdict=verdict,
            problems=problems,
            skipped=skipped,
            sections=sections,
            steps=steps,
            dtypes=dtypes,
            overview=[
                (section, [found.get((step, dtype), _NOTHING) for step in steps for dtype in dtypes])
                for section in sections
                for found in [_cells(section.report)]
            ],
            diverged=[section for section in sections if section.report.verdict == DIVERGENCE],
            geometry=charts,
        )
    )


def write_html(
    reports: Sequence[Report],
    path: str | os.PathLike[str],
    *,
    details: Sequence[Details] = (),
    title: str = "",
    problems: Mapping[str, str] | None = None,
    skipped: Mapping[str, str] | None = None,
) -> None:
    """Write `render`'s page, atomically.

    Raises:
        AlignmentError: There is nothing to show.
        FileError: The file cannot be written.
    """
    write_text(render(reports, details=details, title=title, problems=problems, skipped=skipped), path, "the page")


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=summary.number,
        value=_value,
        margin=summary.margin,
        share=summary.share,
        sign=SIGNS.__getitem__,
        slug=_slug,
    )
    return environment


def _section(report: Report, details: Details, anchor: str) -> Section:
    dtypes = tuple(dict.fromkeys(row.dtype for row in report.rows))
    failures = sorted(report.failures, key=badness, reverse=True)
    cells, sides = _cells(report), tuple(report.environments)
    names = dict.fromkeys(name for side in sides for name in report.environments[side])
    return Section(
        anchor=anchor,
        name=report.model or "unnamed",
        report=report,
        headline=headline(report),
        dtypes=dtypes,
        cells=tuple((step, tuple(cells.get((step, dtype), _NOTHING) for dtype in dtypes)) for step in report.steps),
        charts=charts.charts(report),
        first=tuple(_first(report)),
        reasons=tuple(failures[:_REASONS]),
        hidden=tuple(fold(dict.fromkeys(row.key for row in failures[_REASONS:]))),
        worst=tuple(row for dtype in dtypes for row in _worst(report, dtype)),
        lines=_lines(report),
        sides=sides,
        settings=tuple(
            Setting(name, tuple(report.environments[side].get(name, "-") for side in sides)) for name in names
        ),
        histograms=tuple((each, draw_histogram(each)) for each in details.distributions),
        courses=tuple(map(draw_course, details.courses)),
        diagnosis=details.diagnosis,
    )


_NOTHING = Cell(None)


def _cells(report: Report) -> dict[tuple[str, ...], Cell]:
    """By step and precision."""
    return {place: _cell(rows) for place, rows in charts.grouped(report.rows, "step", "dtype").items()}


def _cell(rows: Sequence[Row]) -> Cell:
    diverged = sum(row.verdict == DIVERGENCE for row in rows)
    return Cell(overall(tuple(rows)), len(rows), diverged, summary.largest(row.share_of_limit for row in rows))


def _first(report: Report) -> Iterator[Row]:
    """Where it begins: of each step and kind the first that diverges in the order of execution, rather in float64."""
    for (_, kind), rows in charts.grouped(report.failures, "step", "kind").items():
        dtype = max(row.dtype for row in rows)
        yield charts.in_order([row for row in rows if row.dtype == dtype], kind)[0]


def _worst(report: Report, dtype: str) -> list[Row]:
    """The rows that use up most of their limit."""
    rows = [row for row in report.rows if row.dtype == dtype and row.max != 0 and row.margin is not None]
    return sorted(rows, key=badness, reverse=True)[:_WORST]


def _lines(report: Report) -> tuple[Line, ...]:
    """All rows; those of a kind that are exactly equal under one folded name."""
    lines: list[Line] = []
    for (_, kind, _), rows in charts.grouped(report.rows, "step", "kind", "dtype").items():
        equal = [row for row in rows if _is_equal(row)]
        folded = len(equal) > 1
        lines += [Line(row.key, row) for row in rows if not (folded and _is_equal(row))]
        if folded:
            lines.append(Line(f"{len(equal)} rows of kind {kind}, exactly equal", equal[0], len(equal)))
    return tuple(lines)


def _is_equal(row: Row) -> bool:
    return row.max == 0 and row.verdict != DIVERGENCE


def _shown(value: object) -> object:
    """What is put into the page: text of the report visibly; markup of our own as it is."""
    return visible(value) if type(value) is str else value


def _value(value: float) -> str:
    """A number of one side, with the digits of float32."""
    return f"{value:.9g}"


def _slug(verdict: str) -> str:
    return verdict.replace(" ", "-")
