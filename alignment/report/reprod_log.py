"""What reprod_log says of the arrays of a report, beside the verdicts: its own numbers, and where the two disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from alignment.recordings.reprod_check import THRESHOLD, MeanCheck
from alignment.results.report import DIVERGENCE, Row

_COLUMNS = " {:>10}  {:>10}  {:>10}  {:<6}  {}"
_TITLES = ("mean", "max", "min", "passes", "verdict")
_NARROWEST = 18
_FEW = 6


def reprod_log_lines(rows: Sequence[Row], *, verbose: bool, width: int) -> Iterator[Text]:
    """A table of reprod_log's own numbers, then why the verdict is another one where it is.

    Args:
        rows: Those of a report; nothing comes of rows that were not compared as reprod_log's files.
        verbose: Show all rows; by default many that agree are folded into a line.
        width: Of the terminal, in characters.
    """
    checked = [(row, row.reprod_log) for row in rows if row.reprod_log is not None]
    if not checked:
        return
    apart = [(row, check) for row, check in checked if disagree(row)]
    shown = checked if verbose or len(checked) <= _FEW else apart
    passed = "passes" if all(check.passed for _, check in checked) else "fails"
    yield Text()
    yield Text(f"reprod_log's own check (mean <= {THRESHOLD:g}) {passed} these files", style="bold")
    if shown:
        column = max(_NARROWEST, width - len(_COLUMNS.format(*[""] * 5)) - len("within tolerance"))
        yield Text(f"{'quantity':<{column}}{_COLUMNS.format(*_TITLES)}", style="underline")
        for row, check in shown:
            yield from _line(row, check, column)
    if len(shown) < len(checked):
        more = " more" if shown else ""
        yield Text(f"  of {len(checked) - len(shown)}{more} quantities both say the same", style="dim")
    for row, check in apart:
        yield Text.assemble((f"{row.key}: ", "yellow"), _explained(row, check))


def disagree(row: Row) -> bool:
    """Whether reprod_log says another thing of a row than its verdict; where it does, both are explained here."""
    return row.reprod_log is not None and row.reprod_log.passed == (row.verdict == DIVERGENCE)


def _line(row: Row, check: MeanCheck, column: int) -> Iterator[Text]:
    name = f"  {row.key}"
    if len(name) > column:
        yield Text(name)
        name = ""
    numbers = ("-" if value is None else f"{value:.4g}" for value in (check.mean, check.max, check.min))
    verdict = row.verdict.upper() if row.verdict == DIVERGENCE else row.verdict
    yield Text(f"{name:<{column}}{_COLUMNS.format(*numbers, 'yes' if check.passed else 'no', verdict)}")


def _explained(row: Row, check: MeanCheck) -> str:
    """Both sides of a disagreement in one sentence."""
    because = f" ({check.remark})" if check.remark else ""
    if check.passed:
        return f"reprod_log passes{because}; {row.verdict} here: {row.reason}"
    mean = "that is not known" if check.mean is None else f"of {check.mean:.2g}"
    fails = because or f" (a mean {mean}, whatever the size of the values)"
    return f"reprod_log fails{fails}; {row.verdict} here: {row.reason}"
