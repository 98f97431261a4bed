"""Asks every installed tool about the pairs of `benchmarks.wrong_arrays`, and prints the table of docs/comparison.md.

A tool may live in an environment of its own: `--python PaDiff=.venv-padiff/bin/python`. One that is not installed is
printed as "not run here".
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.comparison_tools import TOOLS
from benchmarks.contestants import environment
from benchmarks.wrong_arrays import RIGHT_PAIRS, WRONG_PAIRS

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = "not run here"
_NOT_ASKED = "not applicable"


@click.command()
@click.option("--python", "pythons", multiple=True, metavar="TOOL=PYTHON", help="The interpreter that has a tool.")
@click.option("--tool", "tools", multiple=True, type=click.Choice(list(TOOLS)), help="Only these; all by default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(pythons: tuple[str, ...], tools: tuple[str, ...], as_json: bool) -> None:
    """Ask every tool, each in a process of its own, and print a table in Markdown."""
    chosen = dict(word.split("=", 1) for word in pythons)
    if unknown := chosen.keys() - TOOLS.keys():
        raise click.UsageError(f"no such tool: {', '.join(sorted(unknown))}; known: {', '.join(TOOLS)}")
    answers = {tool: ask(tool, chosen.get(tool, sys.executable)) for tool in tools or TOOLS}
    click.echo(json.dumps(answers, indent=1) if as_json else "\n".join(markdown(answers)))


def ask(tool: str, python: str) -> dict[str, Any] | None:
    """A tool's version and answers; None where the interpreter does not have it.

    Raises:
        click.ClickException: Its process failed otherwise.
    """
    command = [python, "-m", "benchmarks.comparison_tools", tool]
    done = subprocess.run(command, cwd=ROOT, env=environment(1), capture_output=True, text=True)
    if done.returncode:
        if "ModuleNotFoundError" in done.stderr:
            return None
        raise click.ClickException(f"{tool}: {python} ended with exit code {done.returncode}\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def markdown(answers: dict[str, dict[str, Any] | None]) -> Iterator[str]:
    """The table: one row for each pair, one column for each tool, and the counts."""
    titles = [f"{tool} {answer['version']}".strip() if answer else tool for tool, answer in answers.items()]
    yield _line(["pair", *titles])
    yield "|---" * (len(answers) + 1) + "|"
    for name in WRONG_PAIRS | RIGHT_PAIRS:
        expected = "refuses" if name in WRONG_PAIRS else "accepts"
        yield _line([name, *(_cell(answer, name, expected) for answer in answers.values())])
    for title, pairs, word in (
        ("wrong pairs accepted", WRONG_PAIRS, "accepts"),
        ("right pairs refused", RIGHT_PAIRS, "refuses"),
    ):
        yield _line([f"**{title}**", *(_count(answer, list(pairs), word) for answer in answers.values())])


def _cell(answer: dict[str, Any] | None, name: str, expected: str) -> str:
    """The tool's verdict, in bold if it is wrong."""
    if answer is None:
        return NOT_RUN
    verdict: str = answer["said"][name]
    return f"**{verdict}**" if verdict not in (expected, _NOT_ASKED, "no verdict") else verdict.replace(_NOT_ASKED, "-")


def _count(answer: dict[str, Any] | None, names: Sequence[str], word: str) -> str:
    if answer is None:
        return NOT_RUN
    verdicts = [answer["said"][name] for name in names if answer["said"][name] != _NOT_ASKED]
    return f"{verdicts.count(word)} of {len(verdicts)}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
