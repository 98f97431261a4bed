"""Prints reports at a terminal: the verdict, its reason, a row for each quantity, reprod_log's check beside it.

Also prints the results of a matrix of models, one line a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from alignment.recordings.reprod_check import THRESHOLD, MeanCheck
from alignment.report.overview import STYLES, overview
from alignment.report.power import power_lines
from alignment.results.report import DIVERGENCE, WITHIN_TOLERANCE, Report, Row, Verdict
from alignment.results.summary import KNOWN_OF, headline, margin, number, plural
from porting.visible import printable

if TYPE_CHECKING:
    from alignment.running.matrix import Result

_MANY = 6
_COLUMNS = " {:>7}  {:>7}  {:>7}  {:>7}  {:>7}  {}"
_TITLES = ("mean", "max", "rel. L2", "noise", "margin", "verdict")
_CHECK_COLUMNS = " {:>10}  {:>10}  {:>10}  {:<6}  {}"
_CHECK_TITLES = ("mean", "max", "min", "passes", "verdict")
_VERDICT = len(WITHIN_TOLERANCE)
_NARROWEST = 18


def print_report(report: Report, console: Console, *, verbose: bool = False) -> None:
    """Print a report.

    Args:
        report: The report.
        console: Where to print; rich finds its width and colours, and honours `NO_COLOR`.
        verbose: Print every row with all of its numbers; by default the first rows that diverge, in the order of
            execution and with their indices folded, or else one line a step.
    """
    for part in _parts(printable(report), verbose, console.width):
        console.print(part)


def print_matrix(results: Sequence[Result], console: Console, *, verbose: bool = False) -> None:
    """Print one line a model: verdict, time and reason; and with `verbose`, every report below."""
    width = max((len(result.model) for result in results), default=0)
    for result in results:
        word, style = _state(result)
        when = "before" if result.reused else f"{result.seconds:.0f} s"
        reason = printable(result.problem.splitlines()[0] if result.report is None else headline(result.report))
        line = Text.assemble(
            (f"{result.model:<{width}}  ", "bold"), (f"{word:<{_VERDICT}}", style), f"  {when:>6}  {reason}"
        )
        console.print(line, soft_wrap=True)
    for report in (result.report for result in results if verbose and result.report is not None):
        console.print()
        print_report(report, console)


def disagree(row: Row) -> bool:
    """Return whether reprod_log's check passes a divergence, or fails a row that does not diverge."""
    return row.reprod_log is not None and row.reprod_log.passed == (row.verdict == DIVERGENCE)


def _state(result: Result) -> tuple[str, str]:
    if result.report is None:
        return ("could not run", "bold red") if result.applies else ("does not apply", "dim")
    return _word(result.report.verdict), STYLES[result.report.verdict]


def _word(verdict: Verdict) -> str:
    return verdict.upper() if verdict == DIVERGENCE else verdict


def _parts(report: Report, verbose: bool, width: int) -> Iterator[Text]:
    verdict = Text(report.verdict.upper(), style=f"bold {STYLES[report.verdict]}")
    yield Text.assemble(f"{report.model}: " if report.model else "", verdict)
    if report.cause:
        yield Text.assemble("cause: ", (report.cause, "bold"))
    yield Text(headline(report))
    hidden = KNOWN_OF if report.cause and not verbose else None
    for note in (note for note in report.notes if hidden is None or not note.startswith(hidden)):
        yield Text(f"note: {note}", style="yellow")
    for side, environment in report.environments.items():
        yield Text(f"{side}: {_describe(environment)}", style="dim")
    if report.rows:
        yield from (_table(report, width) if verbose else overview(report, width))
        yield from _checks(report.rows, verbose, width)
    if verbose:
        yield Text()
        yield from _reasons(row for row in report.failures if not disagree(row))
    if report.power is not None:
        yield Text()
        yield from power_lines(report.power, verbose=verbose)


def _describe(environment: Mapping[str, str]) -> str:
    backend = environment.get("backend", "")
    version = environment.get(backend, "")
    threads = environment.get("threads")
    parts = (f"{backend} {version}".strip(), environment.get("device"), threads and plural(threads, "thread"))
    return ", ".join(part for part in parts if part)


def _table(report: Report, width: int) -> Iterator[Text]:
    column, title = _head(_COLUMNS, _TITLES, width)
    yield Text()
    yield title
    for (step, dtype), rows in groupby(report.rows, key=lambda row: (row.step, row.dtype)):
        yield Text(f"{step}, {dtype}" if step else dtype, style="bold")
        for row in rows:
            numbers = _COLUMNS.format(*map(number, (row.mean, row.max, row.rel_l2, row.floor)), margin(row.margin), "")
            name = f"  {row.key.removeprefix(f'{row.step}/')}"
            yield from _line(name, column, numbers, _word(row.verdict), STYLES[row.verdict])


def _head(columns: str, titles: Sequence[str], width: int) -> tuple[int, Text]:
    """Return the width of the column of names, and the title line of a table."""
    column = max(_NARROWEST, width - len(columns.format(*[""] * len(titles))) - _VERDICT)
    return column, Text(f"{'quantity':<{column}}{columns.format(*titles)}", style="underline")


def _line(name: str, column: int, numbers: str, verdict: str, style: str = "") -> Iterator[Text]:
    """Yield the line of a table; a name that is too long for its column has a line of its own."""
    if len(name) > column:
        yield Text(name)
        name = ""
    yield Text.assemble(f"{name:<{column}}{numbers}", (verdict, style))


def _reasons(failures: Iterable[Row]) -> Iterator[Text]:
    for row in failures:
        yield Text.assemble((f"{row.key} ({row.dtype}): ", "red"), row.reason)


def _checks(rows: Sequence[Row], verbose: bool, width: int) -> Iterator[Text]:
    """Yield a table of reprod_log's own numbers, then why its answer differs from the verdict where it does."""
    checked = [(row, row.reprod_log) for row in rows if row.reprod_log is not None]
    if not checked:
        return
    apart = [(row, check) for row, check in checked if disagree(row)]
    shown = checked if verbose or len(checked) <= _MANY else apart
    passed = "passes" if all(check.passed for _, check in checked) else "fails"
    yield Text()
    yield Text(f"reprod_log's own check (mean <= {THRESHOLD:g}) {passed} these files", style="bold")
    if shown:
        column, title = _head(_CHECK_COLUMNS, _CHECK_TITLES, width)
        yield title
        for row, check in shown:
            numbers = ("-" if value is None else f"{value:.4g}" for value in (check.mean, check.max, check.min))
            cells = _CHECK_COLUMNS.format(*numbers, "yes" if check.passed else "no", "")
            yield from _line(f"  {row.key}", column, cells, _word(row.verdict))
    if len(shown) < len(checked):
        more = " more" if shown else ""
        yield Text(f"  of {len(checked) - len(shown)}{more} quantities both say the same", style="dim")
    for row, check in apart:
        yield Text.assemble((f"{row.key}: ", "yellow"), _explained(row, check))


def _explained(row: Row, check: MeanCheck) -> str:
    """Return both answers of a disagreement in one sentence."""
    because = f" ({check.remark})" if check.remark else ""
    if check.passed:
        return f"reprod_log passes{because}; {row.verdict} here: {row.reason}"
    mean = "that is not known" if check.mean is None else f"of {check.mean:.2g}"
    fails = because or f" (a mean {mean}, whatever the size of the values)"
    return f"reprod_log fails{fails}; {row.verdict} here: {row.reason}"
