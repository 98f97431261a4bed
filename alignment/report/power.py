"""Prints what a proof is worth: the share of planted mistakes that it notices, and those that it misses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from alignment.results.power import Planted, Power, folded, headline, percent
from porting.names import fold
from porting.visible import printable

_MANY = 12
_GOOD = 0.95


def print_power(power: Power, console: Console, *, verbose: bool = False) -> None:
    """Print what a proof is worth.

    Args:
        power: The result to print.
        console: Where to print.
        verbose: Print every mistake that was planted, and fold none away.
    """
    for part in power_lines(printable(power), verbose=verbose):
        console.print(part)


def power_lines(power: Power, *, verbose: bool = False) -> Iterator[Text]:
    """Yield the lines of what a proof is worth."""
    style = "bold green" if power.share >= _GOOD else "bold yellow"
    word = "NOTHING PLANTED" if power.problem else f"NOTICES {percent(power.share)}"
    yield Text.assemble(f"{power.model}: ", (word, "bold red" if power.problem else style))
    yield Text(headline(power))
    if power.problem:
        return
    yield Text(f"planting took {power.seconds:.0f} s, the proof {power.proof_seconds:.0f} s", style="dim")
    yield Text()
    yield from _kinds(power)
    yield from _list("not exercised, nothing that is compared changes", power.unexercised, verbose, "red")
    yield from _list("not noticed, results change by less than the limits", power.below_limits, verbose, "red")
    yield from _list("noticed by the comparison of the weights alone", power.by_weights, verbose, "yellow")
    if power.unreached:
        names = fold(power.unreached)
        more = "" if verbose or len(names) <= _MANY else ", ..."
        shown = ", ".join(names if verbose else names[:_MANY])
        yield Text(f"never reached, counted neither way ({len(power.unreached)}): {shown}{more}", style="dim")
    if verbose:
        yield Text()
        yield from map(_line, power.planted)


def _kinds(power: Power) -> Iterator[Text]:
    rows = list(power.by_kind())
    width = max(len(kind) for kind, *_ in rows)
    yield Text(f"{'mistake':<{width}}  planted  noticed  first noticed by", style="underline")
    for kind, planted, noticed, steps in rows:
        by = ", ".join(f"{step} {count}" if len(steps) > 1 else step for step, count in steps.items())
        line = f"{kind:<{width}}  {planted:>7}  {noticed:>7}  "
        yield Text.assemble((line, "" if noticed == planted else "yellow"), by)


def _list(title: str, mistakes: Sequence[Planted], verbose: bool, style: str) -> Iterator[Text]:
    if not mistakes:
        return
    lines = list(folded(mistakes))
    yield Text()
    yield Text(f"{title} ({len(mistakes)}):", style="bold")
    for place, says in lines if verbose else lines[:_MANY]:
        yield Text.assemble(f"  {place}: ", (says, style))
    if not verbose and len(lines) > _MANY:
        yield Text(f"  and {len(lines) - _MANY} more; -v shows them all", style="dim")


def _line(mistake: Planted) -> Text:
    outcome = f"noticed by {mistake.by}" if mistake.by else "it fails" if mistake.fails else "not noticed"
    style = "" if mistake.noticed else "red"
    return Text.assemble(f"{mistake.kind}, {mistake.path or 'the model'}: {mistake.says}: ", (outcome, style))
