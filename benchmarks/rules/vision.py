"""Derives the rules of published pairs and proves them in float64; see `benchmarks.rules.vision_pairs`.

python -m benchmarks.rules.vision [--model resnet50] [--mindspore-python PYTHON] [--json FILE]
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from alignment.pair import Origin
from alignment.processes.settings import Settings
from alignment.rules.settle import settle
from alignment.running.run import align
from benchmarks.rules.vision_pairs import PAIRS, WITHOUT, declared
from porting.errors import ExpectedError
from porting.saved_rules import write_table


@dataclass(frozen=True)
class Outcome:
    """What came of a pair.

    Attributes:
        name: Of the pair.
        reference: Of the pair.
        rules: What the rules were derived from, or how many lines the refusal has.
        verdict: Of a forward pass in float64; empty where no rules were found.
        differs: Where the two differ.
        seconds: To derive the rules.
        lines: Of the refusal.
    """

    name: str
    reference: str
    rules: str
    verdict: str
    differs: str
    seconds: float
    lines: tuple[str, ...] = ()


def measure(name: str, settings: Settings, saved: Path | None = None) -> Outcome:
    """Derive the rules of a pair, and run both models with the same weights.

    Args:
        name: Name of the pair.
        settings: Settings of the run.
        saved: Folder where the rules are written, as `NAME.json`.
    """
    pair = replace(declared(name), origin=Origin("benchmarks.rules.vision_pairs:declared", {"name": name}))
    known, start = PAIRS[name], time.perf_counter()
    if known.framework == "mindspore":  # which has no float64 convolution on CPU: torch's float64 is its reference
        settings = replace(settings, dtypes=("float32", "float64"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "workers").mkdir()
        try:
            settled = settle(pair, Path(folder), settings)
        except ExpectedError as error:
            lines = (error.summary, *error.details)
            refused = f"refused, {len(error.details)} lines"
            return Outcome(name, known.reference, refused, "", known.differs, time.perf_counter() - start, lines)
        seconds = time.perf_counter() - start
        rules = settled.contract.summary if settled.contract else ""
        if saved and settled.contract:
            saved.mkdir(parents=True, exist_ok=True)
            write_table(settled.contract.saved, saved / f"{name}.json")
        try:
            report = align(settled, Path(folder) / "run", settings)
        except ExpectedError as error:
            return Outcome(name, known.reference, rules, f"failed: {error.summary}", known.differs, seconds)
        worst = max((row.rel_l2 or 0.0 for row in report.rows), default=0.0)
        return Outcome(name, known.reference, rules, f"{report.verdict} ({worst:.0e})", known.differs, seconds)


@click.command()
@click.option("--model", "names", multiple=True, type=click.Choice([*PAIRS]), help="These pairs only.")
@click.option(
    "--mindspore-python", help="Interpreter that has MindSpore and MindCV; without it their pairs are left out."
)
@click.option("--json", "as_json", type=click.Path(dir_okay=False), help="Write a line for each pair here as well.")
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), help="Write the rules of each pair here.")
def main(names: tuple[str, ...], mindspore_python: str | None, as_json: str | None, save: Path | None) -> None:
    """Print a table of published pairs: rules, verdict in float64, and where they differ."""
    pythons = {"mindspore": mindspore_python} if mindspore_python else {}
    settings = Settings(steps=("forward",), dtypes=("float64",), batch_size=2, threads=1, pythons=pythons)
    chosen = names or [name for name, pair in PAIRS.items() if pair.framework == "paddle" or mindspore_python]
    table = Table("model", "reference", "rules", "forward, float64", "differs in", "seconds", box=box.SIMPLE)
    for name in chosen:
        outcome = measure(name, settings, save)
        click.echo(f"{name}: {outcome.rules}; {outcome.verdict}; {outcome.seconds:.0f} s", err=True)
        for line in outcome.lines[:5]:
            click.echo(f"    {line[:240]}", err=True)
        row = (outcome.name, outcome.reference, outcome.rules, outcome.verdict, outcome.differs)
        table.add_row(*row, f"{outcome.seconds:.0f}")
        if as_json:
            with Path(as_json).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
    Console(width=180).print(table)
    for name, reason in WITHOUT.items():
        click.echo(f"{name}: {reason}")


if __name__ == "__main__":
    main()
