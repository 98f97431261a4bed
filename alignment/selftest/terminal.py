"""Prints a self-test: the counts by step, and every fault that was not detected, located and named in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from alignment.selftest.results import FaultResult, Selftest, count

_COLUMNS = "{:<16}{:>6}{:>10}{:>11}{:>7}{:>7}{:>11}{:>12}"
_COUNTED = ("detected", "localised", "named", "gated", "reprod_log", "allclose")
_TITLES = ("step", "faults", "detected", "localised", "named", "gated", "reprod_log", "np.allclose")


def print_selftest(result: Selftest, console: Console, *, verbose: bool = False) -> None:
    """Print a self-test.

    Args:
        result: The self-test.
        console: Where it is printed.
        verbose: Print every fault, not only those with something missing.
    """
    for part in _parts(result, verbose):
        console.print(part)


def table(result: Selftest) -> Iterator[str]:
    """Yield the counts by step, as lines of text."""
    steps: dict[str, list[FaultResult]] = {}
    for fault in result.faults:
        steps.setdefault(fault.step, []).append(fault)
    yield _COLUMNS.format(*_TITLES)
    for step, faults in (*steps.items(), ("all", list(result.faults))):
        counted = count(faults)
        yield _COLUMNS.format(step, len(faults), *(counted[name] for name in _COUNTED))


def _misnamed(result: Selftest) -> str:
    """Return how many faults were given a cause that is not theirs, and of which steps they are."""
    wrong = Counter(fault.step for fault in result.faults if fault.misnamed)
    steps = ", ".join(f"{step} {number}" for step, number in wrong.items())
    total = f"given a cause that is not theirs: {wrong.total()} of {len(result.faults)}"
    return f"{total} ({steps})" if steps else total


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
    words = [word if done else f"NOT {word}" for word, done in marks]
    words += ["MISNAMED"] if fault.misnamed else []
    places = ", ".join(name or "the model" for name in fault.guilty[:4]) or "nothing"
    causes = ", ".join(cause for cause in fault.causes[:3] if cause) or "no cause"
    style = "" if fault.detected else "bold red"
    return Text(f"{fault.name} ({fault.step}): {', '.join(words)}; found {places}: {causes}", style=style)


def _correct(result: Selftest) -> Iterator[Text]:
    if not result.correct:
        return
    margin = max(run.margin for run in result.correct)
    pairs = {run.name.partition(":")[0] for run in result.correct}
    models = sorted({run.model for run in result.correct})
    yield Text(
        f"{result.runs} correct runs of {len(pairs)} pairs ({', '.join(models)}): "
        f"{len(result.accused)} accused; the largest float32 error is {margin:.2g} times the noise floor"
    )
    measured = [run for run in result.correct if run.objections is not None]
    for check in ("reprod_log", "np.allclose") if measured else ():
        objected = sum(any(line.startswith(check) for line in run.objections or ()) for run in measured)
        yield Text(f"{check} objects to {objected} of {len(measured)} correct pairs")
    for run in result.accused:
        yield Text(f"{run.name}: {'; '.join(run.accused[:3])}", style="bold red")
