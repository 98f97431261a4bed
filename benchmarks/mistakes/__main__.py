"""The command line of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from alignment.bisection.explaining import write_batch
from alignment.bisection.recorded import MODULES_FILE
from alignment.pair import ROLES, load_pair
from alignment.pair.variations import ONE
from alignment.processes.processes import run_all
from alignment.processes.settings import Settings
from alignment.running.prepare import RECORDINGS, Prepared, prepare, workspace
from benchmarks.mistakes import nets
from benchmarks.mistakes.mistake import SINGLE, Outcome
from benchmarks.mistakes.page import summary, write
from benchmarks.mistakes.tables import MISTAKES, NETS

_AS_IT_IS = "-"


@click.command()
@click.option("--model", "models", multiple=True, type=click.Choice(list(NETS)), help="These nets only.")
@click.option("--only", multiple=True, metavar="NAME", help="These mistakes only; - is the port as it is.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("logs/mistakes"), show_default=True)
@click.option("--write", "to_write", is_flag=True, help="Write the page of docs from all outcomes in --out.")
def main(models: Sequence[str], only: Sequence[str], out: Path, to_write: bool) -> None:
    """Plant mistakes into real nets, and say which `pit-align diagnose` detects, localises and names.

    What is prepared once for each net stays in --out, and so do the outcomes.
    """
    for net in models or NETS:
        names = [_AS_IT_IS, *(mistake.name for mistake in MISTAKES if mistake.net == net)]
        names = [name for name in names if not only or name in only]
        if names:
            _run(net, names, out.absolute() / net)
    outcomes = [outcome for net in NETS for outcome in _read(out.absolute() / net)]
    if to_write:
        write(outcomes)
    chosen = [outcome for outcome in outcomes if not models or outcome.net in models]
    click.echo(summary([outcome for outcome in chosen if not only or (outcome.name or _AS_IT_IS) in only]))


def _run(net: str, names: Sequence[str], folder: Path) -> None:
    """Try mistakes of one net; the reference is recorded if it is not."""
    if not (folder / SINGLE / RECORDINGS / MODULES_FILE).exists():
        _record(net, folder)
    results = folder / "outcomes.jsonl"
    kept = [outcome for outcome in _lines(results) if (json.loads(outcome)["name"] or _AS_IT_IS) not in names]
    results.write_text("".join(f"{line}\n" for line in kept))
    words = ("-m", "benchmarks.mistakes.worker", str(folder), str(results), net, *names)
    subprocess.run([sys.executable, "-W", "ignore", *words], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _record(net: str, folder: Path) -> None:
    """Record the reference: its modules on the batch and on one input alone, and all steps of `pit-align all`."""
    pair = load_pair(f"{Path(nets.__file__)}:{net.upper()}")
    settings = Settings(perturbations=1, batch_size=2, threads=1, dtypes=("float64",))
    with workspace(folder) as held:
        prepared = prepare(pair, held, settings, sides=1)
        steps = replace(prepared, exact="statistics")
        for role in ROLES:
            steps.write_request(role)
        run_all([steps.launch("reference")], None)
        single = write_batch(ONE, prepared.pair, held)
        _record_modules(prepared, held, replace(settings, steps=("forward", "bp")))
    with workspace(folder / SINGLE) as held:
        settings = replace(settings, steps=("forward", "bp"), inputs=single)
        _record_modules(prepare(prepared.pair, held, settings, sides=1), held, settings)


def _record_modules(prepared: Prepared, held: Path, settings: Settings) -> None:
    prepared = replace(prepared, settings=replace(settings, perturbations=0))
    candidate = replace(prepared, settings=replace(prepared.settings, dtypes=("float64",)))
    candidate.write_request("candidate")
    prepared = replace(prepared, settings=replace(prepared.settings, dtypes=("float64", "float32")))
    prepared.write_request("reference")
    arguments = ("record", str(held / RECORDINGS))
    run_all([prepared.launch("reference", "alignment.bisection.worker", arguments)], None)


def _read(folder: Path) -> list[Outcome]:
    return [Outcome(**json.loads(line)) for line in _lines(folder / "outcomes.jsonl")]


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
