"""Times the port of pit_b (295 MB) against `cp` and against the script that imports both frameworks.

Every way runs as a process of its own, the ways interleaved, with the source in the page cache; the table shows the
median wall time and the largest resident set of each. Ours includes starting Python and reading the target back.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

_NAIVE = """
import sys, torch, paddle
weights = torch.load(sys.argv[1], map_location="cpu")
linear = ("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight", "fc.weight", "head.weight")
turned = {key: value.t() if key.endswith(linear) else value for key, value in weights.items()}
paddle.save({key: paddle.to_tensor(value.numpy()) for key, value in turned.items()}, sys.argv[2])
"""
_MEASURE = """
import os, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--model", default="pit_b", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(runs: int, model: str, as_json: bool) -> None:
    """Time the ways to port a checkpoint, medians of RUNS."""
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), model, runs)
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    table = Table("way", "wall s", "x cp", "peak RSS MB", title=f"{model}, median of {runs}")
    for way, (seconds, rss) in results.items():
        table.add_row(way, f"{seconds:.2f}", f"{seconds / results['cp'][0]:.1f}", f"{rss:.0f}")
    Console().print(table)
    ours, naive = results["pit-port convert"][0], results["both frameworks"][0]
    click.echo(f"pit-port convert is {naive / ours:.1f}x as fast as the script that imports both frameworks")


def measure(folder: Path, model: str, runs: int) -> dict[str, tuple[float, float]]:
    """Median wall seconds and peak RSS in MB of each way."""
    tool = str(Path(sys.executable).with_name("pit-port"))
    source = folder / "source.pth"
    subprocess.run([tool, "random", model, str(source)], check=True, stdout=subprocess.DEVNULL)
    script = folder / "naive.py"
    script.write_text(_NAIVE)
    ways = {
        "cp": ["cp", str(source), str(folder / "cp.pth")],
        "pit-port convert": [tool, "convert", str(source), str(folder / "ours.pdparams"), "--force"],
        "both frameworks": [sys.executable, str(script), str(source), str(folder / "naive.pdparams")],
    }
    samples: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in track(range(runs), "Timing", console=Console(stderr=True), transient=True):
        for way, command in ways.items():
            samples[way].append(_run(command))
    return {
        way: (statistics.median(seconds for seconds, _ in taken), statistics.median(rss for _, rss in taken))
        for way, taken in samples.items()
    }


def _run(command: list[str]) -> tuple[float, float]:
    done = subprocess.run([sys.executable, "-c", _MEASURE, *command], check=True, capture_output=True, text=True)
    seconds, kilobytes = done.stdout.split()
    return float(seconds), float(kilobytes) / 1e3


if __name__ == "__main__":
    main()
