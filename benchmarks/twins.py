"""Times the twins: forward and backward of a PiT in torch and in Paddle, on CPU, side by side.

    python -m benchmarks.twins [--model pit_ti] [--batch-size 8] [--threads 2] [--profile] [--json]

Every contestant has a process of its own, and they take turns, so that other load on the machine slows all equally.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from time import sleep
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import REST, Worker


@dataclass(frozen=True)
class Entrant:
    """A contestant.

    Attributes:
        worker: Name of the contestant for `twins_worker`.
        title: Column of the table.
        mkl: `MKL_DEBUG_CPU_TYPE`, by which the MKL in Paddle's wheels picks its kernels: 5 is AVX2, "" its own choice.
    """

    worker: str
    title: str
    mkl: str = ""


ENTRANTS = {
    "torch": Entrant("torch", "torch"),
    "paddle": Entrant("paddle", "Paddle"),
    "paddle-static": Entrant("paddle-static", "Paddle static"),
    "plain": Entrant("plain", "plain"),
    "plain-static": Entrant("plain-static", "plain static"),
    "plain-avx2": Entrant("plain", "plain AVX2", mkl="5"),
}


def measure(names: tuple[str, ...], model: str, batch: int, threads: int, rounds: int, profile: bool) -> dict[str, Any]:
    """Median seconds of forward, backward and both, and with `profile` seconds per kind of operator."""
    workers: dict[str, Worker] = {}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    try:
        for name in names:
            entrant = ENTRANTS[name]
            words = (entrant.worker, model, batch, threads)
            workers[name] = Worker(entrant.title, "benchmarks.twins_worker", words, threads, entrant.mkl)
        for _ in range(rounds):
            for name, worker in workers.items():
                sleep(REST)
                times[name].append(worker.ask("step"))
        eager = [name for name in names if "static" not in name] if profile else []
        profiles = {name: workers[name].ask("profile") for name in eager}
    finally:
        for worker in workers.values():
            worker.close()
    return {name: _summary(runs) | {"kinds": profiles.get(name, {})} for name, runs in times.items()}


def _summary(runs: list[tuple[float, float]]) -> dict[str, Any]:
    return {
        "forward": median(forward for forward, _ in runs),
        "backward": median(backward for _, backward in runs),
        "total": median(forward + backward for forward, backward in runs),
        "fastest": min(forward + backward for forward, backward in runs),
    }


def _table(*headers: str) -> Table:
    table = Table(*headers, box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _times_table(results: dict[str, Any]) -> Table:
    table = _table("ms", "forward", "backward", "both", "best", "x torch", "x plain's speed")
    torch, plain = (results.get(name, {}).get("total") for name in ("torch", "plain"))
    for name, result in results.items():
        milliseconds = (f"{1000 * result[key]:.0f}" for key in ("forward", "backward", "total", "fastest"))
        slower = f"{result['total'] / torch:.2f}" if torch else "-"
        faster = f"{plain / result['total']:.2f}" if plain else "-"
        table.add_row(ENTRANTS[name].title, *milliseconds, slower, faster)
    return table


def _profile_table(results: dict[str, Any]) -> Table:
    profiled = {name: result["kinds"] for name, result in results.items() if result["kinds"]}
    table = _table("ms", *(ENTRANTS[name].title for name in profiled))
    for kind in sorted({kind for kinds in profiled.values() for kind in kinds}):
        table.add_row(kind, *(f"{1000 * kinds.get(kind, 0):.0f}" for kinds in profiled.values()))
    return table


@click.command()
@click.option("--model", default="pit_ti", show_default=True, type=click.Choice(("pit_ti", "pit_xs", "pit_s", "pit_b")))
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(min=1), help="Steps of each, in turn.")
@click.option("--only", "names", multiple=True, type=click.Choice(list(ENTRANTS)), help="All by default.")
@click.option("--profile", is_flag=True, help="Say where the time goes, by kind of operator.")
@click.option("--json", "as_json", is_flag=True, help="Print seconds as JSON.")
def main(
    model: str, batch_size: int, threads: int, rounds: int, names: tuple[str, ...], profile: bool, as_json: bool
) -> None:
    """Time forward and backward of a PiT in torch and in Paddle on CPU."""
    results = measure(names or tuple(ENTRANTS), model, batch_size, threads, rounds, profile)
    if as_json:
        print(json.dumps(results, indent=2))
        return
    console = Console()
    console.print(f"{model}, batch {batch_size}, {threads} threads, medians of {rounds} rounds")
    console.print(_times_table(results))
    if profile:
        console.print(_profile_table(results))


if __name__ == "__main__":
    main()
