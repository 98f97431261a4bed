"""A self-test for people at a terminal: the counts by step, and every fault that was not found in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text

from alignment.selftest.results import FaultResult, Selftest, count

_COLUMNS = "{:<16}{:>6}{:>10}{:>11}{:>7}{:>7}{:>11}{:>12}"
_COUNTED = ("detected", "localised", "named", "gated", "reprod_log", "allclose")
_TITLES = ("step", "faults", "detected", "localised", "named", "gated", "reprod_log", "np.allclose")


def print_selftest(result: Selftest, console: Console, *, verbose: bool = False) -> None:
    """Print a self-test.

    Args:
        result: What to show.
        console: Where.
        verbose: Show every fault, not only those that were not found in full.
    """
    for part in _parts(result, verbose):
        console.print(part)


def table(result: Selftest) -> Iterator[str]:
    """The counts by step, as lines of text."""
    yield _COLUMNS.format(*_TITLES)
    for step, faults in groupby(sorted(result.faults, key=lambda fault: _order(result, fault)), lambda each: each.step):
        yield _line(step, list(faults))
    yield _line("all", list(result.faults))


def _order(result: Selftest, fault: FaultResult) -> int:
    return [each.step for each in result.faults].index(fault.step)


def _line(step: str, faults: list[FaultResult]) -> str:
    counted = count(faults)
    return _COLUMNS.format(step, len(faults), *(counted[name] for name in _COUNTED))


def _misnamed(result: Selftest) -> str:
    """How many faults were given a cause that is not theirs, and of which steps they are."""
    wrong = Counter(fault.step for fault in result.faults if fault.misnamed)
    steps = ", ".join(f"{step} {number}" for step, number in wrong.items())
    return f"given a cause that is not theirs: {wrong.total()} of {len(result.faults)}" + (
        f" ({steps})" if steps else ""
    )


def _parts(result: Selftest, verbose: bool) -> Iterator[Text]:
    word, style = ("PASSED", "bold green") if result.passed else ("FAILED", "bold red")
    yield Text.assemble((word, style), f"  {len(result.faults)} faults, {result.runs} correct runs")
    for number, line in enumerate(table(result)):
        yield Text(line, style="underline" if number == 0 else "")
    yield Text(_misnamed(result))
    yield Text()
    for fault in result.faults:
        if verbose or not (fault.detected and fault.localised and fault.named and fault.gated):
            yield _fault(fault)
    yield from _correct(result)


def _fault(fault: FaultResult) -> Text:
    marks = [("detected", fault.detected), ("localised", fault.localised), ("named", fault.named)]
    marks += [] if fault.gated else [("gated", False)]
    said = [word if done else f"NOT {word}" for word, done in marks]
    said += ["MISNAMED"] if fault.misnamed else []
    found = ", ".join(name or "the model" for name in fault.guilty[:4]) or "nothing"
    causes = ", ".join(cause for cause in fault.causes[:3] if cause) or "no cause"
    style = "" if fault.detected else "bold red"
    return Text(f"{fault.name} ({fault.step}): {', '.join(said)}; found {found}: {causes}", style=style)


def _correct(result: Selftest) -> Iterator[Text]:
    if not result.correct:
        return
    margin = max(each.margin for each in result.correct)
    pairs = {each.name.partition(":")[0] for each in result.correct}
    models = sorted({each.model for each in result.correct})
    yield Text(
        f"{result.runs} correct runs of {len(pairs)} pairs ({', '.join(models)}): "
        f"{len(result.accused)} accused; the largest float32 error is {margin:.2g} times the noise floor"
    )
    measured = [each for each in result.correct if each.objections is not None]
    for check in ("reprod_log", "np.allclose") if measured else ():
        objected = sum(any(each.startswith(check) for each in run.objections or ()) for run in measured)
        yield Text(f"{check} objects to {objected} of {len(measured)} correct pairs")
    for each in result.accused:
        yield Text(f"{each.name}: {'; '.join(each.accused[:3])}", style="bold red")
