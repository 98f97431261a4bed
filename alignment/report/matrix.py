"""The outcome of a matrix for people: one line a model."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from alignment.report.terminal import print_report
from alignment.results.report import DIVERGENCE, WITHIN_TOLERANCE
from alignment.results.summary import headline
from alignment.running.matrix import Result
from porting.visible import printable

_VERDICT = len(WITHIN_TOLERANCE)


def print_matrix(results: Sequence[Result], console: Console, *, verbose: bool = False) -> None:
    """Print one line a model: its verdict, why, and how long it took; and with `verbose`, every report below."""
    width = max((len(found.model) for found in results), default=0)
    for found in results:
        word, style = _state(found)
        when = "before" if found.reused else f"{found.seconds:.0f} s"
        said = printable(found.problem.splitlines()[0] if found.report is None else headline(found.report))
        line = Text.assemble(
            (f"{found.model:<{width}}  ", "bold"), (f"{word:<{_VERDICT}}", style), f"  {when:>6}  {said}"
        )
        console.print(line, soft_wrap=True)
    for report in (found.report for found in results if verbose and found.report is not None):
        console.print()
        print_report(report, console)


def _state(found: Result) -> tuple[str, str]:
    if found.report is None:
        return ("could not run", "bold red") if found.applies else ("does not apply", "dim")
    if found.report.verdict == DIVERGENCE:
        return DIVERGENCE.upper(), "bold red"
    return found.report.verdict, "yellow" if found.report.verdict == WITHIN_TOLERANCE else "green"
