"""The commands of `pit-align` that show reports and gate on them.

Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porting.tool import DIFFERENT, FILE, json_option, print_json, verbose_option

if TYPE_CHECKING:
    from rich.console import Console

    from alignment.report.model import Report

html_option = click.option("--html", type=FILE, metavar="FILE", help="Write the report as one HTML page, too.")


def show(reports: Sequence[Report], *, as_json: bool, verbose: bool, html: Path | None = None) -> None:
    """Print reports, as a JSON list where they are several, and exit 1 on a divergence."""
    from alignment.fields import encode
    from alignment.report.model import DIVERGENCE, dumps
    from alignment.report.terminal import print_report

    if html is not None:
        from alignment.report.html import write_html

        write_html(reports, html)
    if as_json:
        click.echo(dumps(reports[0]), nl=False) if len(reports) == 1 else print_json(encode(list(reports)))
    else:
        for number, report in enumerate(reports):
            if number:
                click.echo()
            print_report(report, console(), verbose=verbose)
    if any(report.verdict == DIVERGENCE for report in reports):
        raise SystemExit(DIFFERENT)


def console() -> Console:
    """Where people read: rich finds out about its width and colours."""
    from rich.console import Console

    return Console()


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="REPORT...")
@html_option
@verbose_option
@json_option
def report(files: tuple[Path, ...], html: Path | None, verbose: bool, as_json: bool) -> None:
    """Show every REPORT again, and write one HTML page about all of them; exit 1 if one says divergence.

    \b
    pit-align report logs/pit_ti/report.json --html pit_ti.html
    pit-align report logs/*/report.json --html all.html
    """
    from alignment.report.model import read_report

    show([read_report(path) for path in files], as_json=as_json, verbose=verbose, html=html)


@click.command()
@click.argument("report", type=FILE)
@click.option("--config", default="pit-align.toml", show_default=True, type=FILE, help="The reviewed thresholds.")
@json_option
def gate(report: Path, config: Path, as_json: bool) -> None:
    """Hold REPORT against reviewed thresholds; exit 1 if one is exceeded."""
    from dataclasses import asdict

    from alignment.gate import gate as hold
    from alignment.gate import load_config
    from alignment.report.model import read_report
    from alignment.report.terminal import print_gate

    result = hold(read_report(report), load_config(config))
    print_json(asdict(result)) if as_json else print_gate(result, console())
    if not result.passed:
        raise SystemExit(DIFFERENT)
