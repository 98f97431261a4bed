"""Prints a bisection at a terminal: what differs by itself, likely causes, and the status of the other modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from alignment.results.findings import Bisection, Finding, ModuleRow, Status
from alignment.results.summary import plural
from porting.names import fold
from porting.visible import printable

_STYLES = {"agrees": "green", "inherits": "yellow", "children": "yellow", "guilty": "bold red", "not compared": "dim"}
_MANY = 40
_WORDS: dict[Status, str] = {
    "agrees": "agree",
    "inherits": "differ because of what they are given, and are right by themselves",
    "children": "differ because of modules in them",
    "guilty": "differ by themselves",
    "not compared": "could not be compared",
}


def print_bisection(bisection: Bisection, console: Console, *, verbose: bool = False) -> None:
    """Print a bisection.

    Args:
        bisection: The result to print.
        console: Where to print.
        verbose: Print every module, not only those that differ by themselves.
    """
    for part in _parts(printable(bisection), verbose):
        console.print(part)


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print findings for which known mistakes were tried, with their likely causes."""
    for part in _findings(printable(tuple(findings)), diagnosed=True, verbose=False):
        console.print(part)


def _parts(bisection: Bisection, verbose: bool) -> Iterator[Text]:
    style = "bold red" if bisection.diverges else "bold green"
    word = "DIVERGES" if bisection.diverges else "NOTHING DIVERGES"
    yield Text.assemble(
        f"{bisection.model}: ", (word, style), f"  ({bisection.dtype}, {' against '.join(bisection.sides)})"
    )
    if bisection.cause:
        yield Text.assemble("cause: " if bisection.hypotheses else "to blame: ", (bisection.cause, "bold"))
    counts = Counter(row.status for row in bisection.modules)
    yield Text(
        "; ".join(f"{counts[status]} calls of modules {words}" for status, words in _WORDS.items() if counts[status])
    )
    for note in bisection.notes:
        yield Text(f"note: {note}", style="yellow")
    yield from _findings(bisection.findings, bisection.hypotheses, verbose)
    if verbose:
        yield Text()
        yield from map(_row, bisection.modules)
    else:
        yield from _uncompared(bisection)


def _findings(findings: Sequence[Finding], diagnosed: bool, verbose: bool) -> Iterator[Text]:
    """Yield the findings; those with the cause of an earlier one only as names below it, unless `verbose`."""
    groups: dict[tuple[str, ...], list[tuple[int, Finding]]] = {}
    for number, finding in enumerate(findings, 1):
        alike = (finding.kind, finding.mode, finding.direction, finding.causes[0].says) if finding.causes else ()
        groups.setdefault(alike if alike and not verbose else (str(number),), []).append((number, finding))
    for (number, first), *others in groups.values():
        yield Text()
        yield from _finding(number, first, diagnosed, verbose)
        if others:
            names = fold(dict.fromkeys(one.candidate or one.path or "the model itself" for _, one in others))
            yield Text(f"   the same in {plural(len(others), 'other place')}: {', '.join(names)}; -v shows them")


def _finding(number: int, finding: Finding, diagnosed: bool, verbose: bool) -> Iterator[Text]:
    name = finding.path or "the model itself"
    where = "" if finding.candidate == finding.path else f", {finding.candidate} in the candidate"
    mode = "" if finding.mode == "eval" else ", in training mode"
    mode = "" if finding.kind == "quantity" else f"{mode}, {finding.direction}"
    yield Text.assemble(f"{number}. {finding.kind} ", (name, "bold red"), f"{where}{mode}")
    shown = finding.evidence if verbose or not finding.causes else [one for one in finding.evidence if one.error]
    for evidence in shown[:4]:
        yield Text(f"   {evidence.what}: {evidence.reason}", style="dim" if evidence.error is None else "")
    for cause in finding.causes[:1]:
        yield Text.assemble("   cause: ", (cause.says, "bold"))
        yield Text(f"   with this mistake the difference goes from {cause.before:.1e} to {cause.after:.1e}")
        yield Text(f"   look at {cause.look_at}")
    for cause in finding.causes[1:]:
        yield Text(f"   or: {cause.says} ({cause.after:.1e})", style="dim")
    if diagnosed and not finding.causes:
        yield Text(f"   none of {finding.tried} known mistakes explains it", style="yellow")


def _row(row: ModuleRow) -> Text:
    numbers = "".join(f"{'-' if value is None else f'{value:.1e}':>9}" for value in (row.end_to_end, row.isolated))
    name = (
        (row.path or "the model") + (f" #{row.call}" if row.call else "") + (" (train)" if row.mode == "train" else "")
    )
    return Text.assemble(f"{name:<{_MANY}}{numbers}  ", (row.status, _STYLES[row.status]), f"  {row.reason}")


def _uncompared(bisection: Bisection) -> Iterator[Text]:
    rows = [row for row in bisection.modules if row.status == "not compared"]
    if rows:
        yield Text(f"not compared: {', '.join(fold(row.path for row in rows))}", style="dim")
    for side, paths in (("reference", bisection.reference_only), ("candidate", bisection.candidate_only)):
        if paths:
            yield Text(f"only in the {side}: {', '.join(fold(paths))}", style="dim")
