"""Times the port of a checkpoint against `cp` and against the script that imports both frameworks.

Every way runs as a process of its own, the ways interleaved, with the source in the page cache and no file under the
target's name; the table shows the median wall time and resident set of each. Ours includes starting Python, checking
the source's checksums and reading the target back.
"""

from __future__ import annotations

import json
import os
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
turned = {key: value.t() if value.ndim == 2 else value for key, value in weights.items()}
paddle.save({key: paddle.to_tensor(value.numpy()) for key, value in turned.items()}, sys.argv[2])
"""
_LEGACY = """
import sys, torch
torch.save(torch.load(sys.argv[1], map_location="cpu"), sys.argv[2], _use_new_zipfile_serialization=False)
"""
_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
_SUFFIXES = {"torch": "pth", "paddle": "pdparams", "safetensors": "safetensors", "numpy": "npz", "mindspore": "ckpt"}
Results = dict[str, tuple[float, float]]


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--model", default="pit_b", show_default=True)
@click.option("--all-pairs", is_flag=True, help="Time every format into every other, instead of the naive script.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(runs: int, model: str, all_pairs: bool, as_json: bool) -> None:
    """Time the ways to port a checkpoint, medians of RUNS."""
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), model, runs, all_pairs)
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    table = Table("way", "wall s", "x cp", "peak RSS MB", title=f"{model}, median of {runs}")
    for way, (seconds, rss) in results.items():
        table.add_row(way, f"{seconds:.2f}", f"{seconds / results['cp'][0]:.1f}", f"{rss:.0f}")
    Console().print(table)
    if not all_pairs:
        ours, naive = results["torch -> paddle"][0], results["both frameworks"][0]
        click.echo(f"pit-port convert is {naive / ours:.1f}x as fast as the script that imports both frameworks")


def measure(folder: Path, model: str, runs: int, all_pairs: bool) -> Results:
    """Median wall seconds and peak RSS in MB of each way."""
    tool = str(Path(sys.executable).with_name("pit-port"))
    source = folder / "source.pth"
    _quietly([tool, "random", model, str(source)])
    ways = {"cp": (["cp", str(source)], folder / "cp.pth")}
    if all_pairs:
        ways |= _pairs(tool, source)
    else:
        script = folder / "naive.py"
        script.write_text(_NAIVE)
        ways["torch -> paddle"] = ([tool, "convert", str(source)], folder / "ours.pdparams")
        naive = [sys.executable, "-W", "ignore", str(script), str(source)]
        ways["both frameworks"] = (naive, folder / "naive.pdparams")
    samples: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in track(range(runs), "Timing", console=Console(stderr=True), transient=True):
        for way, (command, target) in ways.items():
            samples[way].append(_run([*command, str(target)]))
            target.unlink()
    return {
        way: (statistics.median(seconds for seconds, _ in taken), statistics.median(rss for _, rss in taken))
        for way, taken in samples.items()
    }


def _pairs(tool: str, source: Path) -> dict[str, tuple[list[str], Path]]:
    """Every format into every other, torch's from before 1.6 too; one that does not hold the model is left out."""
    files = {"torch": source}
    for name, suffix in _SUFFIXES.items():
        target = source.with_name(f"from.{suffix}")
        if subprocess.run(
            [tool, "convert", str(source), str(target)], stdout=subprocess.DEVNULL, check=False
        ).returncode:
            click.echo(f"{name} does not hold this model", err=True)
        else:
            files[name] = target
    targets = {name: _SUFFIXES[name] for name in files}
    files["legacy torch"] = source.with_name("legacy.pth")
    _quietly([sys.executable, "-W", "ignore", "-c", _LEGACY, str(source), str(files["legacy torch"])])
    return {
        f"{one} -> {other}": ([tool, "convert", str(path)], source.with_name(f"to-{one}.{suffix}"))
        for one, path in files.items()
        for other, suffix in targets.items()
    }


def _run(command: list[str]) -> tuple[float, float]:
    seconds, kilobytes = _quietly([sys.executable, "-c", _MEASURE, *command]).split()
    return float(seconds), float(kilobytes) / 1e3


def _quietly(command: list[str]) -> str:
    """What a command prints; it may keep its compiled modules, as an installed tool has them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


if __name__ == "__main__":
    main()
