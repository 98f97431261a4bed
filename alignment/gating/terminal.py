"""Prints the outcome of a gate at a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from alignment.gating.check import GateResult
from alignment.results.summary import plural
from porting.names import fold
from porting.visible import printable

_REASONS, _NAMES = 6, 6


def print_gate(result: GateResult, console: Console, *, name: str = "", verbose: bool = False) -> None:
    """Print the result of a gate: passed or failed, notes, failures and waived failures.

    Args:
        result: The result.
        console: Where to print.
        name: Name of the report; printed if there are several.
        verbose: Print all failures, not only the first.
    """
    result, name = printable(result), printable(name)
    shown = None if verbose else _REASONS
    head = f"{name}: " if name else ""
    if result.passed:
        counted = f"  {result.checked or 'no'} rows held against thresholds"
        console.print(Text.assemble(head, ("PASSED", "bold green"), counted))
    else:
        console.print(Text.assemble(head, ("FAILED", "bold red"), f"  {plural(len(result.failures), 'failure')}"))
    for note in result.notes:
        console.print(Text(f"  note: {note}", style="yellow"))
    for failure in result.failures[:shown]:
        console.print(Text(f"  {failure}"))
    if not verbose and len(result.failures) > _REASONS:
        names = fold(failure.key for failure in result.failures[_REASONS:])
        more = ", ...; -v shows all" if names[_NAMES:] else ""
        console.print(Text(f"  and {len(result.failures) - _REASONS} more: {', '.join(names[:_NAMES])}{more}"))
    for waived in result.waived[:shown]:
        console.print(Text(f"  waived: {waived}", style="yellow"))
    if not verbose and len(result.waived) > _REASONS:
        console.print(Text(f"  and {len(result.waived) - _REASONS} more that are waived", style="yellow"))
