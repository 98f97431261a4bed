"""The command `pit-align power`: what a proof of a pair is worth.

Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alignment.cli.endings import gating
from alignment.cli.options import candidate_weights_option, pair_of, pair_options, settings_of, without_option
from alignment.cli.reports import html_option, write_page
from porting.terminal.again import again
from porting.terminal.output import Output, output_options
from porting.terminal.tool import DIFFERENT, command_line

if TYPE_CHECKING:
    from alignment.results.power import Power


@click.command()
@pair_options
@candidate_weights_option
@without_option
@click.option("--limit", type=click.IntRange(min=1), help="Plant at most this many mistakes; all by default.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Plant for this long; three times as long as the proof took by default.",
)
@click.option(
    "--at-least",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Exit 1 if the proof notices a smaller share of the mistakes.",
)
@html_option
@output_options(verbose="Show every mistake that was planted, not only those that were not noticed.")
def power(
    out: Path | None,
    without: tuple[str, ...],
    limit: int | None,
    seconds: float | None,
    at_least: float | None,
    html: Path | None,
    output: Output,
    **values: Any,
) -> None:
    """Prove a pair, plant mistakes into its candidate, and show which of them the proof would notice.

    One mistake a module and kind is planted: a bias off, a weight transposed, another epsilon, a gradient stopped. Each
    is judged as the proof judges the candidate, on the same inputs. What is not noticed is listed with what the inputs
    would have to hold. Exits 1 if the pair differs; nothing is planted then.

    \b
    pit-align power --pair my_pair.py
    pit-align power --model pit_ti --image-size 64 --limit 200 --at-least 95
    pit-align power --pair my_pair.py --inputs batch.npz --seconds 60 --html my_pair.html
    """
    from alignment.power.run import Budget, measure
    from alignment.report.power import print_power

    pair = pair_of(values)
    folder = out or Path("logs") / f"{pair.name}-power"
    settings, budget = settings_of((), values, without), Budget(limit, seconds)
    with output.sides() as progress:
        report = measure(pair, folder, settings, budget, progress=progress, command=command_line())
    assert report.power is not None  # noqa: S101 - `measure` fills it
    result = report.power
    if html is not None:
        write_page([report], html, output, [folder])
    output.show(lambda: print_power(result, output.console(), verbose=output.verbose), lambda: _as_json(result))
    file = folder / "report.json"
    output.end(wrote=[file, *([html] if html else [])], then=again("all") if result.problem else gating([file]))
    if result.problem or (at_least is not None and 100 * result.share < at_least):
        raise SystemExit(DIFFERENT)


def _as_json(result: Power) -> dict[str, Any]:
    """The result with its share and number, which follow from the mistakes."""
    from porting.fields import encode

    return {"share": result.share, "noticed": result.noticed, **encode(result)}
