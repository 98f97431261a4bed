"""The last lines of a command: the verdict, what was written, and the command to run next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porting.terminal.again import again
from porting.terminal.output import Output

if TYPE_CHECKING:
    from alignment.results.report import Report


def end_of_run(report: Report, folder: Path, output: Output, *, html: Path | None, trains: bool) -> None:
    """Print the last lines of an alignment.

    Args:
        report: Its report.
        folder: The folder that it was written to.
        output: How the command prints.
        html: The page that was written; None without one.
        trains: Whether check points of training were aligned.
    """
    from alignment.results.report import DIVERGENCE

    file = folder / "report.json"
    diverges = report.verdict == DIVERGENCE
    verdict = f"{report.model}: {report.verdict.upper()}" if diverges else ""
    then = _mending(report, folder, trains=trains, shown=html is not None) if diverges else gating([file])
    output.end(verdict=verdict, wrote=[file, *([html] if html else [])], then=then)


def _mending(report: Report, folder: Path, *, trains: bool, shown: bool) -> str:
    """The next command after a divergence: compare the weights, show what is known of the cause, or search for it.

    Where the page of a known cause is written already, it is the command itself, once more, when the cause is mended.
    """
    from alignment.results.summary import different_weights

    if different_weights(report):
        return _difference(folder) or again("diagnose")
    if report.cause and shown:
        return again(click.get_current_context().command.name or "")
    if report.cause:
        return shlex.join(["pit-align", "report", str(folder / "report.json"), "--html", f"{folder.name}.html"])
    command = click.get_current_context().command.name or ""
    return f"{again(command)} --diagnose" if trains else again("diagnose")


def _difference(folder: Path) -> str:
    """The command that compares the weights of both sides; empty where they are not kept."""
    files = sorted(path for path in (folder / "weights").glob("*") if path.suffix in (".pth", ".pdparams", ".ckpt"))
    if len(files) != 2:
        return ""
    files.sort(key=lambda path: path.suffix != ".pth")  # the reference's first
    rules = folder / "workers" / "rules.json"
    return shlex.join(["pit-port", "diff", *map(str, files), *(["--rules", str(rules)] if rules.is_file() else [])])


def gating(files: Sequence[Path]) -> str:
    """Return the command that gates on reports, and writes its thresholds where there are none yet."""
    from alignment.gating.config import find_config
    from porting.errors import ExpectedError

    words = ["pit-align", "gate", *map(str, files)]
    try:
        find_config()
    except ExpectedError:
        words.append("--init")
    return shlex.join(words)
