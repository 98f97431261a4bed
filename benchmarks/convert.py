"""Times the port of a checkpoint against `cp` and against the script that imports both frameworks.

Every way runs as a process of its own, the ways interleaved, with the source in the page cache and no file under the
target's name. Each run follows one of `cp` on the same source and is divided by its time, since the speed of a machine
changes from minute to minute. The table shows medians. `pit-port convert` includes starting Python, checking the
source's checksums and reading the target back.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from porting.architectures import build
from porting.converters import specs_in, table_of
from porting.saved_rules import SavedSide, SavedTable, TensorInfo, write_table

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


class Result(NamedTuple):
    """Medians of the runs of one way.

    Attributes:
        seconds: Wall time.
        times_cp: Wall time over that of the `cp` before it.
        megabytes: Peak resident set.
    """

    seconds: float
    times_cp: float
    megabytes: float


class _Way(NamedTuple):
    command: list[str]
    source: Path
    target: Path

    def run(self) -> Result:
        cp, _ = _run(["cp", str(self.source)], self.target.with_name("cp"))
        seconds, megabytes = _run(self.command, self.target)
        return Result(seconds, seconds / cp, megabytes)


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
        click.echo(json.dumps({way: result._asdict() for way, result in results.items()}, indent=2))
        return
    table = Table("way", "wall s", "x cp", "peak RSS MB", title=f"{model}, median of {runs}")
    for way, (seconds, ratio, megabytes) in results.items():
        table.add_row(way, f"{seconds:.3f}", f"{ratio:.2f}", f"{megabytes:.0f}")
    Console().print(table)
    if all_pairs:
        ratios = sorted(result.times_cp for result in results.values())
        middle = statistics.median(ratios)
        click.echo(f"x cp: {ratios[0]:.2f} at best, {middle:.2f} in the middle, {ratios[-1]:.2f} at worst")
    else:
        ours, naive = results["torch -> paddle"].seconds, results["both frameworks"].seconds
        by_rules = results["by rules"].seconds / ours
        click.echo(f"by a file of rules, the same conversion takes {by_rules:.2f}x as long")
        click.echo(f"pit-port convert is {naive / ours:.1f}x as fast as the script that imports both frameworks")


def measure(folder: Path, model: str, runs: int, all_pairs: bool) -> dict[str, Result]:
    """Return the median time and memory of each way."""
    tool = str(Path(sys.executable).with_name("pit-port"))
    source = folder / "source.pth"
    _quietly([tool, "random", model, str(source)])
    ways = _pairs(tool, source) if all_pairs else _single(tool, source, model)
    samples: dict[str, list[Result]] = {name: [] for name in ways}
    for _ in track(range(runs), "Timing", console=Console(stderr=True), transient=True):
        for name, way in ways.items():
            samples[name].append(way.run())
    return {name: Result(*map(statistics.median, zip(*taken, strict=True))) for name, taken in samples.items()}


def _rules(source: Path, model: str) -> Path:
    """Write the rules of PaddleViT's layout as a file of rules between two models of a user's."""
    architecture = build(model)
    reference = {name: TensorInfo(spec.shape) for name, spec in architecture.tensors.items()}
    candidate = {name: TensorInfo(spec.shape) for name, spec in specs_in(architecture, "paddlevit").items()}
    rules = table_of(architecture.family, "paddlevit").rules
    path = source.with_name("rules.json")
    write_table(SavedTable(SavedSide("torch", reference), SavedSide("paddle", candidate), rules), path)
    return path


def _single(tool: str, source: Path, model: str) -> dict[str, _Way]:
    """Return the usual conversion, the same by a file of rules, and the script without this tool."""
    script = source.with_name("naive.py")
    script.write_text(_NAIVE)
    naive = [sys.executable, "-W", "ignore", str(script), str(source)]
    return {
        "torch -> paddle": _Way([tool, "convert", str(source)], source, source.with_name("ours.pdparams")),
        "by rules": _Way(
            [tool, "convert", "--rules", str(_rules(source, model)), str(source)],
            source,
            source.with_name("rules.pdparams"),
        ),
        "both frameworks": _Way(naive, source, source.with_name("naive.pdparams")),
    }


def _pairs(tool: str, source: Path) -> dict[str, _Way]:
    """Return every format into every other, torch's of before 1.6 too; one that cannot hold the model is left out."""
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
        f"{one} -> {other}": _Way([tool, "convert", str(path)], path, source.with_name(f"to-{one}.{suffix}"))
        for one, path in files.items()
        for other, suffix in targets.items()
    }


def _run(command: list[str], target: Path) -> tuple[float, float]:
    """Return wall seconds and megabytes of a command, and remove its target."""
    seconds, kilobytes = _quietly([sys.executable, "-c", _MEASURE, *command, str(target)]).split()
    target.unlink()
    return float(seconds), float(kilobytes) / 1e3


def _quietly(command: list[str]) -> str:
    """Return what a command prints; it may keep its compiled modules, as an installed tool has them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


if __name__ == "__main__":
    main()
