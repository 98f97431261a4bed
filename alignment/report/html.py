"""Writes reports as one HTML file: nothing loaded from elsewhere, light and dark, charts drawn as SVG.

Everything in a report is untrusted text, and is escaped. The policy of the page forbids requests, and every script but
the one that filters and sorts tables, which is the same text in every page and is allowed by its digest.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment.errors import AlignmentError
from alignment.report import charts
from alignment.report.details import Details
from alignment.report.drawings import draw_course, draw_histogram
from alignment.results import power as powers
from alignment.results import summary
from alignment.results.power import Power
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
"""Sign beside each verdict's name, so that no information is in the colour alone."""
_TEMPLATES = Path(__file__).with_name("templates")
_WORST = 10
_REASONS = 20


@dataclass(frozen=True, slots=True)
class Cell:
    """Summary of one step in one precision.

    Attributes:
        verdict: The weakest verdict of its rows; None if nothing was compared.
        rows: Number of rows.
        diverged: Number of rows that diverge.
        used: Largest share of a limit that a row uses; None if none is known.
    """

    verdict: Verdict | None
    rows: int = 0
    diverged: int = 0
    used: float | None = None


def render(
    reports: Sequence[Report],
    *,
    details: Sequence[Details] = (),
    title: str = "",
    problems: Mapping[str, str] | None = None,
    skipped: Mapping[str, str] | None = None,
) -> str:
    """Return one page about one report or several.

    Args:
        reports: The reports, in the order of the page.
        details: Details of the recordings behind each; none by default.
        title: Title of the page; by default the model or the number of models, and the verdict.
        problems: Models that could not be aligned, with the reason.
        skipped: Models that no step applies to, with the reason.

    Raises:
        AlignmentError: There is nothing to show.
    """
    problems, skipped = problems or {}, skipped or {}
    if not (reports or problems or skipped):
        raise AlignmentError("no report was given, so there is nothing to render")
    behind = list(details) or [Details()] * len(reports)
    sections = tuple(
        _section(report, shown, f"report-{number}")
        for number, (report, shown) in enumerate(zip(reports, behind, strict=True), 1)
    )
    verdict = min((report.verdict for report in reports), key=STRENGTH.__getitem__, default=DIVERGENCE)
    steps = tuple(dict.fromkeys(step for report in reports for step in report.steps))
    dtypes = tuple(dict.fromkeys(dtype for section in sections for dtype in section["dtypes"]))
    name = sections[0]["name"] if len(sections) == 1 else f"{len(sections)} alignments"
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
                (section, [cells.get((step, dtype), _NOTHING) for step in steps for dtype in dtypes])
                for section in sections
                for cells in [_cells(section["report"])]
            ],
            diverged=[section for section in sections if section["report"].verdict == DIVERGENCE],
            geometry=charts,
            **_script(),
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


def _script() -> dict[str, str]:
    """Return the script of the page as markup, and its digest as a policy of content names it."""
    from markupsafe import Markup

    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"script": Markup(script), "script_hash": f"sha256-{digest}"}  # noqa: S704 - a file of ours, the same always


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
        value="{:.9g}".format,  # the digits of float32
        margin=summary.margin,
        share=summary.share,
        sign=SIGNS.__getitem__,
        slug=lambda verdict: verdict.replace(" ", "-"),
    )
    return environment


def _section(report: Report, details: Details, anchor: str) -> dict[str, Any]:
    """Return what the template shows of one report; `anchor` is the id of its place in the page."""
    dtypes = tuple(dict.fromkeys(row.dtype for row in report.rows))
    failures = sorted(report.failures, key=badness, reverse=True)
    cells, sides = _cells(report), tuple(report.environments)
    names = dict.fromkeys(name for side in sides for name in report.environments[side])
    return {
        "anchor": anchor,
        "name": report.model or "unnamed",
        "report": report,
        "headline": headline(report),
        "cause": report.cause or (details.diagnosis.cause if details.diagnosis is not None else ""),
        "dtypes": dtypes,
        "cells": [(step, [cells.get((step, dtype), _NOTHING) for dtype in dtypes]) for step in report.steps],
        "charts": charts.charts(report),
        "first": list(_first(report)),
        "reasons": failures[:_REASONS],
        "hidden": fold(dict.fromkeys(row.key for row in failures[_REASONS:])),
        "worst": [row for dtype in dtypes for row in _worst(report, dtype)],
        "lines": list(_lines(report)),
        "sides": sides,
        "settings": [(name, [report.environments[side].get(name, "-") for side in sides]) for name in names],
        "histograms": [(distribution, draw_histogram(distribution)) for distribution in details.distributions],
        "courses": [draw_course(course) for course in details.courses],
        "diagnosis": details.diagnosis,
        "unread": details.unread,
        "power": None if report.power is None else _power(report.power),
    }


def _power(power: Power) -> dict[str, Any]:
    """Return what the template shows of how much a proof is worth."""
    lists = {
        "Not exercised: nothing that is compared changes": power.unexercised,
        "Not noticed: results change by less than the limits": power.below_limits,
        "Noticed by the comparison of the weights alone": power.by_weights,
    }
    return {
        "headline": powers.headline(power),
        "kinds": list(power.by_kind()),
        "lists": [(title, len(own), list(powers.folded(own))) for title, own in lists.items() if own],
        "unreached": fold(power.unreached),
    }


_NOTHING = Cell(None)


def _cells(report: Report) -> dict[tuple[str, ...], Cell]:
    """Return the cells of a report by step and precision."""
    return {place: _cell(rows) for place, rows in charts.grouped(report.rows, "step", "dtype").items()}


def _cell(rows: Sequence[Row]) -> Cell:
    diverged = sum(row.verdict == DIVERGENCE for row in rows)
    return Cell(overall(tuple(rows)), len(rows), diverged, summary.largest(row.share_of_limit for row in rows))


def _first(report: Report) -> Iterator[Row]:
    """Yield of each step and kind the row that diverges first in the order of execution, in float64 if one does."""
    for (_, kind), rows in charts.grouped(report.failures, "step", "kind").items():
        dtype = max(row.dtype for row in rows)
        yield charts.in_order([row for row in rows if row.dtype == dtype], kind)[0]


def _worst(report: Report, dtype: str) -> list[Row]:
    """Return the rows that use the largest share of their limit."""
    rows = [row for row in report.rows if row.dtype == dtype and row.max != 0 and row.margin is not None]
    return sorted(rows, key=badness, reverse=True)[:_WORST]


def _lines(report: Report) -> Iterator[tuple[str, Row, int]]:
    """Yield all rows with their keys; rows of a kind that are exactly equal as one, with a name and their number."""
    for (_, kind, _), rows in charts.grouped(report.rows, "step", "kind", "dtype").items():
        equal = [row for row in rows if _is_equal(row)]
        folded = len(equal) > 1
        yield from ((row.key, row, 1) for row in rows if not (folded and _is_equal(row)))
        if folded:
            yield f"{len(equal)} rows of kind {kind}, exactly equal", equal[0], len(equal)


def _is_equal(row: Row) -> bool:
    return row.max == 0 and row.verdict != DIVERGENCE


def _shown(value: object) -> object:
    """Make the hidden characters of a report's text visible; markup of our own stays as it is."""
    return visible(value) if type(value) is str else value
