"""Measures how near correct ports come to the limits of `alignment.judging.tolerance`, over many draws.

A share above 1 would be a false divergence. `ROUNDING_LIMIT` and the float64 certificates rest on these figures.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from alignment.pair.published import build
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, Report, Row
from alignment.running.run import align


@click.command()
@click.option("--model", default="pit_ti", show_default=True)
@click.option("--image-size", default=96, show_default=True, type=click.IntRange(min=16))
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--perturbations", default=2, show_default=True, type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(model: str, image_size: int, seeds: int, perturbations: int, as_json: bool) -> None:
    """Align a correct port over many seeds and print the largest margins."""
    pair = build(model, image_size=image_size, num_classes=100)
    reports: list[Report] = []
    for seed in track(range(seeds), console=Console(stderr=True), description=model):
        with tempfile.TemporaryDirectory() as folder:
            settings = Settings(steps=("forward", "loss", "bp"), seed=seed, perturbations=perturbations)
            reports.append(align(pair, folder, settings))
    groups = _summary(row for report in reports for row in report.rows)
    click.echo(json.dumps(groups)) if as_json else Console().print(_table(groups))


def _summary(rows: Iterable[Row]) -> list[dict[str, str | int | float]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.kind not in ("parameter", "input"):
            groups.setdefault((row.dtype, row.kind), []).append(row)
    return [
        {
            "dtype": dtype,
            "kind": kind,
            "rows": len(group),
            "accused": sum(row.verdict == DIVERGENCE for row in group),
            "largest error": max(row.error or 0.0 for row in group),
            "largest margin": max(row.margin or 0.0 for row in group),
            "largest share": max(_share(row) for row in group),
        }
        for (dtype, kind), group in sorted(groups.items())
    ]


def _share(row: Row) -> float:
    """Share of its limit that a row uses; the margin of a certificate is this share already."""
    if row.margin is None:
        return 0.0
    return row.margin / row.limit if row.floor is not None and row.limit else row.margin


def _table(groups: list[dict[str, str | int | float]]) -> Table:
    table = Table(*groups[0])
    for line in groups:
        table.add_row(*(f"{value:.2g}" if isinstance(value, float) else str(value) for value in line.values()))
    return table


if __name__ == "__main__":
    main()
