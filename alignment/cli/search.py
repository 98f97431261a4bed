"""The commands of `pit-align` that search for mistakes, and the self-test, which measures how many are found.

Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alignment.cli.options import (
    candidate_weights_option,
    pair_of,
    pair_options,
    python_options,
    pythons_of,
    settings_of,
)
from porting.terminal.again import again
from porting.terminal.output import Output, output_options
from porting.terminal.tool import DIFFERENT, FILE, command_line


@click.command()
@pair_options
@candidate_weights_option
@output_options(verbose="Show every module, not only those that are to blame.")
def bisect(out: Path | None, output: Output, **values: Any) -> None:
    """Name every module that differs by itself: each is run end to end, and alone on the reference's inputs.

    Known mistakes are tried on what differs, for half a minute; `diagnose` takes its time.

    \b
    pit-align bisect --model pit_ti --candidate mindspore
    pit-align bisect --pair my_pair.py --batch-size 2
    """
    _search(out, output, values, seconds=30.0)


@click.command()
@pair_options
@candidate_weights_option
@output_options(verbose="Show every module, not only those that are to blame.")
def diagnose(out: Path | None, output: Output, **values: Any) -> None:
    """Bisect, then try known mistakes on everything that differs until one explains it down to rounding.

    \b
    pit-align diagnose --model pit_b --weights pit_b.pth --candidate-weights pit_b.pdparams --batch-size 1
    """
    _search(out, output, values)


def _search(out: Path | None, output: Output, values: dict[str, Any], *, seconds: float | None = None) -> None:
    from alignment.bisection.bench import SECONDS
    from alignment.bisection.bisect import bisect as search
    from alignment.report.bisection import print_bisection
    from alignment.results.findings import BISECTION_FILE

    pair = pair_of(values)
    settings, given = settings_of((), values), SECONDS if seconds is None else seconds
    folder = out or Path("logs") / f"{pair.name}-{'diagnose' if seconds is None else 'bisect'}"
    with output.sides() as progress:
        result = search(
            pair, folder, settings, hypotheses=True, seconds=given, progress=progress, command=command_line()
        )
    output.show(lambda: print_bisection(result, output.console(), verbose=output.verbose), result.to_json)
    if result.diverges:
        unknown = seconds is not None and not any(finding.causes for finding in result.findings)
        output.end(
            verdict=f"{result.model}: DIVERGES",
            wrote=[folder / BISECTION_FILE],
            then=again("diagnose" if unknown else "all"),
        )
        raise SystemExit(DIFFERENT)
    output.end(wrote=[folder / BISECTION_FILE], then=again("all"))


@click.command()
@click.option("--quick", is_flag=True, help="A few faults and correct runs, in one to three minutes.")
@click.option("--held-out", is_flag=True, help="Other faults, for which no known mistake was written.")
@click.option(
    "--seeds", type=click.IntRange(min=0), help="Correct runs of each model; 25 by default, 0 with --held-out."
)
@click.option("--step", "steps", multiple=True, metavar="STEP", help="Only the faults of this step; may be repeated.")
@click.option(
    "--out",
    type=FILE,
    help="Where results go, and an interrupted run goes on; logs/selftest*/ by default.",
)
@python_options
@output_options(verbose="Show every fault, not only those that were not found in full.")
def selftest(
    quick: bool,
    held_out: bool,
    seeds: int | None,
    steps: tuple[str, ...],
    out: Path | None,
    output: Output,
    **values: Any,
) -> None:
    """Inject known faults and check that each is detected; run correct models and check that none is.

    An interrupted run goes on where it was. Exits 1 if a fault was not detected or a correct pair was accused.
    With --held-out the faults are others, for which no known mistake was written, so that the table says more about
    mistakes that nobody thought of; below it is the number of faults with a wrong cause.

    \b
    pit-align selftest --quick
    pit-align selftest --seeds 5 --out selftest --json
    pit-align selftest --step train --step optimizer --seeds 0 --out selftest
    pit-align selftest --held-out
    """
    from dataclasses import replace

    from alignment.processes.settings import Settings
    from alignment.selftest.run import SelftestPlan
    from alignment.selftest.run import selftest as prove
    from alignment.selftest.terminal import print_selftest

    if quick and held_out:
        raise click.UsageError("--quick is a part of the catalogue, --held-out takes its place: give one of them")
    settings = Settings(pythons=pythons_of(values))
    plan = SelftestPlan.quick(settings) if quick else SelftestPlan(settings=settings)
    plan = SelftestPlan.held_out(settings) if held_out else plan
    plan = plan if seeds is None else replace(plan, seeds=seeds)
    plan = plan.of_steps(steps) if steps else plan
    folder = out or Path("logs") / ("selftest" + ("-quick" if quick else "-held-out" if held_out else ""))
    with output.sides() as progress:
        result = prove(folder, plan, progress=progress, command=command_line())
    output.show(lambda: print_selftest(result, output.console(), verbose=output.verbose), result.to_json)
    if not result.passed:
        raise SystemExit(DIFFERENT)
