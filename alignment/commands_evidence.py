"""The commands of `pit-align` that look for what is wrong, and for what this toolkit would miss.

Like `alignment.commands`, which adds them, this loads nothing heavy before a command runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alignment.options import candidate_weights_option, pair_of, pair_options, python_options, pythons_of, settings_of
from porting.tool import DIFFERENT, FILE, command_line, json_option, print_json, verbose_option


@click.command()
@pair_options
@candidate_weights_option
@verbose_option
@json_option
def bisect(out: Path | None, verbose: bool, as_json: bool, **given: Any) -> None:
    """Name every module that differs by itself: each is run end to end, and alone on what the reference's was given.

    \b
    pit-align bisect --model pit_ti --candidate mindspore
    pit-align bisect --pair my_pair.py --batch-size 2
    """
    _search(out, verbose, as_json, given, hypotheses=False)


@click.command()
@pair_options
@candidate_weights_option
@verbose_option
@json_option
def diagnose(out: Path | None, verbose: bool, as_json: bool, **given: Any) -> None:
    """Bisect, then try known mistakes on everything that differs until one explains it down to rounding.

    \b
    pit-align diagnose --model pit_b --weights pit_b.pth --candidate-weights pit_b.pdparams --batch-size 1
    """
    _search(out, verbose, as_json, given, hypotheses=True)


def _search(out: Path | None, verbose: bool, as_json: bool, given: dict[str, Any], *, hypotheses: bool) -> None:
    from rich.console import Console

    from alignment.bisect import bisect as search
    from alignment.report.bisection import print_bisection
    from alignment.report.progress import showing_progress

    pair = pair_of(given)
    settings = settings_of((), given)
    folder = out or Path("logs") / f"{pair.name}-{'diagnose' if hypotheses else 'bisect'}"
    with showing_progress() as progress:
        found = search(pair, folder, settings, hypotheses=hypotheses, progress=progress, command=command_line())
    print_json(found.to_json()) if as_json else print_bisection(found, Console(), verbose=verbose)
    if found.diverges:
        raise SystemExit(DIFFERENT)


@click.command()
@click.option("--quick", is_flag=True, help="A few faults and correct runs, in about a minute.")
@click.option("--seeds", type=click.IntRange(min=0), help="Correct runs of each model; 25 by default.")
@click.option("--out", type=FILE, help="Where results go, and are taken up again from; logs/selftest/ by default.")
@python_options
@verbose_option
@json_option
def selftest(quick: bool, seeds: int | None, out: Path | None, verbose: bool, as_json: bool, **given: Any) -> None:
    """Put known faults into correct candidates and run correct ones often: what is found, and who is accused.

    A run that was interrupted goes on where it was. Exits 1 when a fault went unseen or a correct pair was accused.
    """
    from dataclasses import replace

    from rich.console import Console

    from alignment.report.progress import showing_progress
    from alignment.report.selftest import print_selftest
    from alignment.selftest import Plan
    from alignment.selftest import selftest as prove
    from alignment.settings import Settings

    settings = Settings(pythons=pythons_of(given))
    plan = Plan.quick(settings) if quick else Plan(settings=settings)
    plan = plan if seeds is None else replace(plan, seeds=seeds)
    folder = out or Path("logs") / ("selftest-quick" if quick else "selftest")
    with showing_progress() as progress:
        result = prove(folder, plan, progress=progress, command=command_line())
    print_json(result.to_json()) if as_json else print_selftest(result, Console(), verbose=verbose)
    if not result.passed:
        raise SystemExit(DIFFERENT)
