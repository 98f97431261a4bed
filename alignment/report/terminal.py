"""A report for people at a terminal: the verdict, why, and one row a quantity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from alignment.report.reprod_log import disagree, reprod_log_lines
from alignment.results.report import (
    DIVERGENCE,
    ROUNDING,
    SAME_FUNCTION,
    STRENGTH,
    WITHIN_TOLERANCE,
    Report,
    Row,
    Verdict,
)
from alignment.results.summary import badness, headline, largest, margin, number, plural
from porting.names import fold
from porting.visible import printable

_STYLES: dict[Verdict, str] = {
    SAME_FUNCTION: "green",
    ROUNDING: "green",
    WITHIN_TOLERANCE: "yellow",
    DIVERGENCE: "bold red",
}
_MANY = 6
_WORST = 3
_REASONS = 12
_COLUMNS = " {:>7}  {:>7}  {:>7}  {:>7}  {:>7}  {}"
_TITLES = ("mean", "max", "rel. L2", "noise", "margin", "verdict")
_VERDICT = len(WITHIN_TOLERANCE)
_NARROWEST = 18
_PLURALS = {"loss": "losses", "integers": "integer arrays", "weights": "weight tensors"}


def print_report(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Print a report.

    Args:
        report: What to show.
        console: Where; rich finds out about its width and colours, and honours `NO_COLOR`.
        verbose: Show every row; by default many of a kind are folded into the worst few and one line for the rest.
            What diverges is never folded away.
    """
    for part in _parts(printable(report), verbose, console.width):
        console.print(part)


def _parts(report: Report, verbose: bool, width: int) -> Iterator[Text]:
    verdict = Text(report.verdict.upper(), style=f"bold {_STYLES[report.verdict]}")
    yield Text.assemble(f"{report.model}: " if report.model else "", verdict)
    yield Text(headline(report))
    for note in report.notes:
        yield Text(f"note: {note}", style="yellow")
    for side, environment in report.environments.items():
        yield Text(f"{side}: {_describe(environment)}", style="dim")
    if report.rows:
        yield from _table(report, verbose, width)
        yield from reprod_log_lines(report.rows, verbose=verbose, width=width)
        yield Text()
    yield from _reasons(tuple(row for row in report.failures if not disagree(row)), verbose)


def _describe(environment: Mapping[str, str]) -> str:
    backend = environment.get("backend", "")
    version = environment.get(backend, "")
    threads = environment.get("threads")
    parts = (f"{backend} {version}".strip(), environment.get("device"), threads and plural(threads, "thread"))
    return ", ".join(part for part in parts if part)


def _table(report: Report, verbose: bool, width: int) -> Iterator[Text]:
    """The rows as lines, the numbers in columns; a name too long for its column has a line of its own."""
    column = max(_NARROWEST, width - len(_COLUMNS.format(*[""] * 6)) - _VERDICT)
    yield Text()
    yield Text(f"{'quantity':<{column}}{_COLUMNS.format(*_TITLES)}", style="underline")
    for (step, dtype), rows in groupby(report.rows, key=lambda row: (row.step, row.dtype)):
        yield Text(f"{step}, {dtype}" if step else dtype, style="bold")
        for name, numbers, verdict in _lines(list(rows), verbose):
            if len(name) > column:
                yield Text(name)
                name = ""
            word = verdict.upper() if verdict == DIVERGENCE else verdict
            yield Text.assemble(f"{name:<{column}}{_COLUMNS.format(*numbers, '')}", (word, _STYLES[verdict]))


def _lines(rows: list[Row], verbose: bool) -> Iterator[tuple[str, tuple[str, ...], Verdict]]:
    for kind, found in groupby(rows, key=lambda row: row.kind):
        group = list(found)
        shown = group if verbose or len(group) <= _MANY else _worst(group)
        for row in shown:
            yield f"  {row.key.removeprefix(f'{row.step}/')}", _numbers([row]), row.verdict
        rest = _without(group, shown)
        if rest:
            verdict = min((row.verdict for row in rest), key=STRENGTH.__getitem__)
            label = f"  {len(rest)} {'more ' if shown else ''}{_PLURALS.get(kind, kind + 's')}"
            yield label, _numbers(rest), verdict


def _numbers(rows: list[Row]) -> tuple[str, ...]:
    """The largest of every number over the rows."""
    fields = zip(*((row.mean, row.max, row.rel_l2, row.floor, row.margin) for row in rows), strict=True)
    *values, last = map(largest, fields)
    return (*(number(value) for value in values), margin(last))


def _worst(rows: list[Row]) -> list[Row]:
    """What diverges, capped, and else the few with the largest margins, in the rows' own order."""
    failures = sorted((row for row in rows if row.verdict == DIVERGENCE), key=badness, reverse=True)[:_REASONS]
    if failures:
        return _among(rows, failures)
    if all(row.max == 0 for row in rows):
        return []
    return _among(rows, sorted(rows, key=badness, reverse=True)[:_WORST])


def _among(rows: Sequence[Row], chosen: Sequence[Row]) -> list[Row]:
    """Those rows that are chosen, in the rows' own order."""
    places = set(map(id, chosen))
    return [row for row in rows if id(row) in places]


def _without(rows: Sequence[Row], chosen: Sequence[Row]) -> list[Row]:
    places = set(map(id, chosen))
    return [row for row in rows if id(row) not in places]


def _reasons(failures: tuple[Row, ...], verbose: bool) -> Iterator[Text]:
    shown = failures if verbose else sorted(failures, key=badness, reverse=True)[:_REASONS]
    for row in shown:
        yield Text.assemble((f"{row.key} ({row.dtype}): ", "red"), row.reason)
    rest = _without(failures, shown)
    if rest:
        yield Text(f"and {len(rest)} more rows that diverge: {', '.join(fold(row.key for row in rest))}")
