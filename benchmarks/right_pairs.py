"""Runs `pit-align all` on correct pairs of published models: none may be called a divergence.

python -m benchmarks.right_pairs [--only resnet18] [--size 64] [--json FILE]
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from alignment.pair import Origin
from alignment.processes.settings import Settings
from alignment.recordings.kernels import Kernel
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report
from alignment.results.summary import headline, number
from alignment.running.run import align
from benchmarks.right_models import PAIRS, declared
from porting.errors import ExpectedError

_CANNOT_RUN = 3
_FIELDS = ("pair", "size", "exit", "verdict", "float64", "float32", "kernels", "seconds")


@dataclass(frozen=True)
class Outcome:
    """What came of a pair.

    Attributes:
        pair: Its name.
        size: Pixels of the images, or tokens.
        exit: Exit code that `pit-align all` would have.
        verdict: The verdict, or what kept the pair from running.
        float64: Largest error in float64, as a relative L2, of what is not rounding altogether.
        float32: Largest error in float32, as a share of its limit.
        kernels: What the frameworks themselves do differently: each kernel with its calls.
        seconds: Of the run.
        details: The headline, and the first rows that diverge.
    """

    pair: str
    size: int
    exit: int
    verdict: str
    float64: float | None
    float32: float | None
    kernels: tuple[str, ...]
    seconds: float
    details: tuple[str, ...] = ()


def measure(name: str, size: int, settings: Settings, folder: Path) -> Outcome:
    """Run all steps of a pair in both precisions."""
    start = time.perf_counter()
    arguments = {"name": name, "size": size}
    try:
        pair = replace(declared(name, size), origin=Origin("benchmarks.right_models:declared", arguments))
        report = align(pair, folder / name, settings)
    except ExpectedError as error:
        details = (error.summary, *error.details)
        return Outcome(name, size, _CANNOT_RUN, "not run", None, None, (), time.perf_counter() - start, details)
    return _outcome(name, size, report, time.perf_counter() - start)


def _outcome(name: str, size: int, report: Report, seconds: float) -> Outcome:
    wide = [row.error for row in report.rows if row.dtype == "float64" and row.error is not None and row.floor is None]
    shares = [row.share_of_limit for row in report.rows if row.dtype == "float32" and row.share_of_limit is not None]
    kernels = [f"{_short(kernel)} ({kernel.calls})" for kernel in report.kernels if kernel.calls]
    unused = [f"{kernel.name}: not used in {kernel.unused} calls" for kernel in report.kernels if kernel.unused]
    failures = [f"{row.key} ({row.dtype}): {row.reason}" for row in report.failures]
    return Outcome(
        name,
        size,
        int(report.verdict == DIVERGENCE),
        report.verdict,
        max(wide, default=None),
        max(shares, default=None),
        (*kernels, *unused),
        seconds,
        (headline(report), *failures[:10]),
    )


def _short(kernel: Kernel) -> str:
    return kernel.name if kernel.cast or " " in kernel.name else kernel.name.rpartition(".")[2]


def table(outcomes: Sequence[Outcome]) -> str:
    """A table of markdown, a row for each pair."""
    lines = ["| " + " | ".join(_FIELDS) + " |", "|" + "---|" * len(_FIELDS)]
    return "\n".join([*lines, *(f"| {' | '.join(_cells(outcome))} |" for outcome in outcomes)])


def _cells(outcome: Outcome) -> Iterator[str]:
    for field in _FIELDS:
        value: Any = getattr(outcome, field)
        if field == "kernels":
            yield ", ".join(value) or "-"
        elif field == "float64":
            yield number(value)
        elif isinstance(value, float):
            yield f"{value:.0f}" if field == "seconds" else "inf" if math.isinf(value) else f"{value:.2g}"
        else:
            yield "-" if value is None else str(value)


@click.command()
@click.option("--only", "names", multiple=True, type=click.Choice([*PAIRS]), help="These pairs only.")
@click.option("--size", default=224, show_default=True, help="Pixels of the images; some models need more.")
@click.option("--tokens", default=128, show_default=True, help="Length of the texts.")
@click.option("--batch-size", default=2, show_default=True, help="Inputs in a batch.")
@click.option("--threads", default=1, show_default=True, help="CPU threads of each side.")
@click.option("--mindspore-python", help="Interpreter that has MindSpore and MindCV; without it they are left out.")
@click.option("--json", "as_json", type=click.Path(dir_okay=False, path_type=Path), help="Add a line a pair here.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Keep what the runs write here.")
def main(
    names: tuple[str, ...],
    size: int,
    tokens: int,
    batch_size: int,
    threads: int,
    mindspore_python: str | None,
    as_json: Path | None,
    out: Path | None,
) -> None:
    """Run `all` on correct pairs, and print a table; the exit code is 1 if one of them is not the same function."""
    pythons = {"mindspore": mindspore_python} if mindspore_python else {}
    settings = Settings(batch_size=batch_size, threads=threads, pythons=pythons)
    chosen = names or [name for name, pair in PAIRS.items() if pair.framework == "paddle" or mindspore_python]
    outcomes = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in chosen:
            outcome = measure(name, tokens if PAIRS[name].text else size, settings, out or Path(temporary))
            outcomes.append(outcome)
            click.echo(f"{name}: {outcome.verdict}, {outcome.seconds:.0f} s", err=True)
            for line in outcome.details if outcome.verdict != SAME_FUNCTION else ():
                click.echo(f"    {line[:240]}", err=True)
            if as_json:
                with as_json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
    click.echo(table(outcomes))
    wrong = [outcome.pair for outcome in outcomes if outcome.exit]
    if wrong:
        raise click.ClickException(f"{len(wrong)} of {len(outcomes)} correct pairs are accused or do not run: {wrong}")


if __name__ == "__main__":
    main()
