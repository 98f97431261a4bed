"""Times training: updates of the DeiT recipe on CPU in torch, in Paddle, and in plain Paddle code, side by side.

    python -m benchmarks.train [--config pit_ti_224] [--batch-size 8] [--threads 2] [--json]

An update is forward, loss against mixed targets, backward, AdamW with decay groups, and the average of the weights. The
images are in memory, so that reading them is not part of it (see `data.py`). Every contestant has a process of its own,
and they take turns.
"""

from __future__ import annotations

import json
from statistics import median
from time import sleep

import click
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import REST, Worker

TITLES = {"torch": "torch, timm's parts", "paddle": "pit-train", "plain": "plain Paddle"}


def measure(config: str, batch: int, threads: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Seconds of each part of each update, by contestant."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in TITLES}
    workers: dict[str, Worker] = {}
    try:
        for name, title in TITLES.items():
            workers[name] = Worker(title, "benchmarks.train_worker", (name, config, batch, threads), threads)
        for _ in range(rounds):
            for name, worker in workers.items():
                sleep(REST)
                times[name].append(worker.ask("update"))
    finally:
        for worker in workers.values():
            worker.close()
    return times


@click.command()
@click.option("--config", default="pit_ti_224", show_default=True, help="A shipped configuration or a file.")
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(min=1), help="Updates of each, in turn.")
@click.option("--json", "as_json", is_flag=True, help="Print seconds as JSON.")
def main(config: str, batch_size: int, threads: int, rounds: int, as_json: bool) -> None:
    """Time updates of the recipe on CPU."""
    times = measure(config, batch_size, threads, rounds)
    if as_json:
        print(json.dumps(times, indent=2))
        return
    parts = list(dict.fromkeys(part for runs in times.values() for run in runs for part in run))
    totals = {name: median(sum(run.values()) for run in runs) for name, runs in times.items()}
    table = Table("", *parts, "all", "images/s", "x torch", "x plain's speed", box=box.SIMPLE)
    for name, runs in times.items():
        cells = [f"{1000 * median(run.get(part, 0.0) for run in runs):.0f}" for part in parts]
        total = totals[name]
        ratios = (f"{total / totals['torch']:.2f}", f"{totals['plain'] / total:.2f}")
        table.add_row(TITLES[name], *cells, f"{1000 * total:.0f}", f"{batch_size / total:.1f}", *ratios)
    console = Console(width=max(100, Console().width))
    console.print(f"{config}, batch {batch_size}, {threads} threads, medians of {rounds} updates; times in ms")
    console.print(table)


if __name__ == "__main__":
    main()
