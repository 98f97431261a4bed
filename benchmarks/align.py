"""Times `pit-align all` against the bare passes that it needs, and the comparison of recordings against reading them.

The first part runs `pit-align all` in both precisions, and the passes that it needs, without anything else: both
frameworks side by side, one thread each, in processes of their own, as `pit-align` runs them. The bare time is that of
the slower side, with and without the time to start Python, import the framework and build the model.

The second part compares two recordings of the given size, and reads both files with `cat`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import get_args

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from alignment.pair import Role
from alignment.processes.settings import Settings
from alignment.recordings.recording import Entry, Manifest, Recorder
from benchmarks.contestants import ROOT, environment

_MEASURE = """
import resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
_BATCH = Settings().batch_size
_TRIALS = {"torch": {"float64": 1, "float32": 1 + Settings().perturbations}, "paddle": {"float64": 1, "float32": 1}}


@click.command()
@click.option("--runs", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--model", default="pit_ti", show_default=True)
@click.option("--megabytes", default=1000, show_default=True, help="Size of each recording that is compared.")
@click.option("--largest", default=200, show_default=True, help="Size of its largest array in MB.")
def main(runs: int, model: str, megabytes: int, largest: int) -> None:
    """Time pit-align against bare compute, and a comparison against reading; medians of RUNS."""
    costs = [_cost(model) for _ in track(range(runs), "Evidence", console=Console(stderr=True), transient=True)]
    compute, script, tool = (statistics.median(column) for column in zip(*costs, strict=True))
    table = Table("", "s", "x", title=f"{model}, batch of {_BATCH}, float32 and float64, median of {runs}")
    for name, seconds in (("bare passes", compute), ("with start-up", script), ("pit-align all", tool)):
        table.add_row(name, f"{seconds:.1f}", f"{seconds / compute:.2f}")
    Console().print(table)
    with tempfile.TemporaryDirectory() as folder:
        _show_comparison(Path(folder), runs, megabytes, largest)


def _cost(model: str) -> tuple[float, float, float]:
    """Seconds of the bare passes, of their whole processes, and of `pit-align all`."""
    start = perf_counter()
    sides = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.align_worker", side, model, str(_BATCH), json.dumps(trials)],
            cwd=ROOT,
            env=environment(1),
            stdout=subprocess.PIPE,
            text=True,
        )
        for side, trials in _TRIALS.items()
    ]
    outputs = [side.communicate()[0] for side in sides]
    script = perf_counter() - start
    compute = max(float(text.rpartition("answer ")[2]) for text in outputs)
    with tempfile.TemporaryDirectory() as folder:
        words = ["all", "--model", model, "--dtype", "both", "--threads", "1", "--out", folder]
        code, tool, _ = _measured([_tool("pit-align"), *words])
    if code:
        raise click.ClickException(f"pit-align all ended with exit code {code}")
    return compute, script, tool


def _show_comparison(folder: Path, runs: int, megabytes: int, largest: int) -> None:
    paths = [_recording(folder / role, role, megabytes, largest) for role in get_args(Role)]
    nbytes = sum((path / "arrays.safetensors").stat().st_size for path in paths)
    table = Table("", "s", "GB/s", "peak RSS MB", title=f"two recordings, {nbytes / 1e9:.1f} GB together")
    reading = ["cat", *(str(path / "arrays.safetensors") for path in paths)]
    for name, command in (("cat", reading), ("pit-align compare", [_tool("pit-align"), "compare", *map(str, paths)])):
        taken = [_measured(command) for _ in range(runs)]
        seconds, rss = (statistics.median(column) for column in list(zip(*taken, strict=True))[1:])
        table.add_row(name, f"{seconds:.2f}", f"{nbytes / seconds / 1e9:.2f}", f"{rss:.0f}")
    Console().print(table)


def _recording(path: Path, role: Role, megabytes: int, largest: int) -> Path:
    """A recording of random arrays, the largest first; the candidate's differ by rounding."""
    generator = np.random.default_rng(0)
    noise = np.random.default_rng(1)
    recorder = Recorder(path.parent)
    sizes = [largest, *[10] * ((megabytes - largest) // 10)]
    for number, size in enumerate(sizes):
        array = generator.standard_normal(size * 250_000, np.float32)
        if role == "candidate":
            array *= 1 + noise.uniform(-1e-7, 1e-7, array.size).astype(np.float32)
        recorder.add(f"bp/gradient/{number}", array, Entry("gradient", "bp"))
    manifest = Manifest(backend="torch", dtype="float32", role=role, model="random", device="cpu", steps=("bp",))
    recorder.write(path, manifest).close()
    return path


def _measured(command: list[str]) -> tuple[int, float, float]:
    """Exit code, seconds and peak resident set in MB."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    text = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command], check=True, stdout=subprocess.PIPE, text=True, env=environment
    ).stdout
    code, seconds, kilobytes = text.split()
    return int(code), float(seconds), float(kilobytes) / 1e3


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


if __name__ == "__main__":
    main()
