"""The command line of this folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from alignment.framework_facts import BEHAVIOUR, Difference, Fact, Facts
from benchmarks.frameworks.case import Case
from benchmarks.frameworks.page import save, summary, write
from benchmarks.frameworks.tables import TABLES
from benchmarks.frameworks.versions import versions

_ENDED = "the process ends (a fault in memory)"


@click.command()
@click.option("--framework", default="paddle", type=click.Choice(["paddle", "mindspore"]), show_default=True)
@click.option("--mindspore-python", envvar="PIT_MINDSPORE_PYTHON", metavar="PATH", help="The interpreter of MindSpore.")
@click.option("--group", "groups", multiple=True, type=click.Choice(list(TABLES)), help="These kinds of layers only.")
@click.option("--write", "to_write", is_flag=True, help="Write the page of docs and the data of the package anew.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON, one line each.")
@click.option("--save", "saved", type=click.Path(dir_okay=False, path_type=Path), help="Write the facts here as JSON.")
@click.option("--worker", hidden=True, help="Measure the cases of this JSON list of positions, here.")
def main(
    framework: str,
    mindspore_python: str | None,
    groups: Sequence[str],
    to_write: bool,
    as_json: bool,
    saved: Path | None,
    worker: str | None,
) -> None:
    """Run layers and functions of torch.nn against another framework's, forward and backward, and say which differ."""
    if worker is not None:
        return _work(json.loads(worker))
    if to_write and groups:
        raise click.UsageError("--write takes no --group: the page has all of them")
    try:
        measured = _of_mindspore(mindspore_python, groups) if framework == "mindspore" else _of_paddle(groups)
    except RuntimeError as error:
        raise click.ClickException(str(error)) from None
    facts = measured.cases
    if to_write:
        write(measured)
    if saved is not None:
        save(measured, saved)
    lines = [json.dumps(asdict(fact)) for fact in facts] if as_json else [summary(facts)]
    click.echo("\n".join(lines))
    click.echo(", ".join(f"{len(measured.of(kind))} {kind}" for kind in ("same", "precision", "behaviour")), err=True)
    return None


def _of_paddle(groups: Sequence[str]) -> Facts:
    cases = [(group, case) for group, case in _all() if group in (groups or TABLES)]
    return Facts("paddle", versions(), tuple(_facts(cases)))


def _of_mindspore(python: str | None, groups: Sequence[str]) -> Facts:
    from benchmarks.frameworks.mindspore.measuring import measured

    python = python or sys.executable
    return Facts("mindspore", versions("mindspore", python), tuple(measured(python, groups)))


def _all() -> list[tuple[str, Case]]:
    return [(group, case) for group, cases in TABLES.items() for case in cases]


def _work(positions: Sequence[int]) -> None:
    from benchmarks.frameworks.measure import measure

    cases = _all()
    for position in positions:
        click.echo(json.dumps(asdict(measure(*cases[position]))))


def _facts(cases: Sequence[tuple[str, Case]]) -> Iterator[Fact]:
    """Yield the facts in order, from one process for all, and one for each case that may end its process."""
    order = {id(case): position for position, (_, case) in enumerate(_all())}
    together = [order[id(case)] for _, case in cases if not case.alone]
    found = dict(zip(together, _measured(together), strict=True))
    for group, case in cases:
        position = order[id(case)]
        if case.alone:
            facts = _measured([position])
            found[position] = facts[0] if facts else _ended(group, case)
        yield found[position]


def _measured(positions: Sequence[int]) -> list[Fact]:
    """Return what a process of its own measures of cases: nothing of one case where the process ended early.

    Raises:
        click.ClickException: The process of several cases ended early.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.frameworks", "--worker", json.dumps(positions)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and len(positions) != 1:
        raise click.ClickException(f"measuring ended with exit code {done.returncode}: {done.stderr[-2000:]}")
    return [_fact(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _fact(line: str) -> Fact:
    data = json.loads(line)
    differences = tuple(Difference(**difference) for difference in data["differences"])
    float32 = None if data["float32"] is None else (data["float32"][0], data["float32"][1])
    return Fact(**{**data, "inputs": tuple(data["inputs"]), "differences": differences, "float32": float32})


def _ended(group: str, case: Case) -> Fact:
    inputs = tuple(given.label for given in case.inputs)
    return Fact(group, case.torch, case.paddle, inputs, BEHAVIOUR, (), case.note or _ENDED, None)


if __name__ == "__main__":
    main()
