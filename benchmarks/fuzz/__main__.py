"""Feed damaged and hostile files to every reader, for a time or a number of inputs, and report every violation.

A child process with a limit on its memory does the reading. Every input has to be read, or refused with a one-line
error: within a second, without executing anything, without allocating more than the file's size plus a constant, and
without leaving anything behind. Exits with 1 if one is not, and keeps that input.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import click

from benchmarks.fuzz import corpus
from benchmarks.fuzz.attacks import attacks
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.judge import MEMORY, Judge

_ADDRESS_SPACE = 2**30
_SOME = 4000
"""Bytes of an attack that are damaged further."""
_WRITING = 20
"""Every 20th input is also converted and written."""


@dataclass
class Outcome:
    """The outcome of a run.

    Attributes:
        inputs: Number of inputs by reader.
        seconds: Wall time.
        slowest: Most processor seconds that one input took.
        peak: Most bytes that one input allocated beyond its size.
        problems: Each violation, and the file that shows it.
    """

    inputs: dict[str, int]
    seconds: float
    slowest: float
    peak: int
    problems: list[str] = field(default_factory=list)


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="Stop after so long.")
@click.option("--inputs", type=int, help="Stop after so many inputs, whatever time it takes.")
@click.option("--seed", default=0, show_default=True, help="Of the damage.")
@click.option("--keep", default="build/fuzz", show_default=True, type=click.Path(path_type=Path), help="For findings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(seconds: float, inputs: int | None, seed: int, keep: Path, as_json: bool) -> None:
    """Feed damaged and hostile files to every reader."""
    outcome = run(None if inputs else seconds, inputs, seed, keep.absolute())
    if as_json:
        click.echo(json.dumps(asdict(outcome), indent=2))
    else:
        for reader, number in outcome.inputs.items():
            click.echo(f"{reader:<14}{number:>9,}")
        click.echo(
            f"{sum(outcome.inputs.values()):,} inputs in {outcome.seconds:.0f} s; the slowest took "
            f"{outcome.slowest:.2f} s, the largest {outcome.peak / 2**20:.0f} MiB beyond its size"
        )
    raise SystemExit(1 if outcome.problems else 0)


def run(seconds: float | None, inputs: int | None, seed: int, keep: Path) -> Outcome:
    """Run the readers in a child process, and report it if it hangs or dies."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, where files cost no disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        receiving, sending = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(
            target=_child, args=(Path(folder), seconds, inputs, seed, keep, sending), daemon=True
        )
        child.start()
        sending.close()
        try:
            while receiving.poll(60):
                message = receiving.recv()
                if isinstance(message, Outcome):
                    return message
            reason = "a reader hangs where no timer reaches it"
        except EOFError:
            child.join()
            reason = f"a reader took the process with it (exit {child.exitcode})"
        child.kill()
        child.join()
        kept = _keep(keep, "process", Path(folder, "input").read_bytes())
        click.echo(f"{reason}: {kept}", err=True)
        return Outcome({}, 0.0, 0.0, 0, [f"{reason}: {kept}"])


def _child(folder: Path, seconds: float | None, inputs: int | None, seed: int, keep: Path, to: Connection) -> None:
    os.chdir(folder)
    judge, counts, start = Judge(folder), Counter[str](), time.monotonic()
    judge.warm_up()
    outcome = Outcome({}, 0.0, 0.0, 0)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY + _ADDRESS_SPACE, most))
    for number, (reader, data) in enumerate(_stream(seed)):
        if (inputs is not None and number >= inputs) or (seconds is not None and time.monotonic() - start > seconds):
            break
        if number % 20 == 0:
            to.send(number)
        counts[reader] += 1
        problem = judge.problem(reader, data, writing=number % _WRITING == 0)
        if problem and len(outcome.problems) < 20:
            outcome.problems.append(f"{reader}: {problem}: {_keep(keep, reader, data)}")
            click.echo(outcome.problems[-1], err=True)
    outcome.inputs, outcome.seconds = dict(sorted(counts.items())), time.monotonic() - start
    outcome.slowest, outcome.peak = judge.slowest, judge.peak
    to.send(outcome)


def _stream(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield inputs without end, readers in turn: every attack and every truncation, and random damage."""
    random, sound, hostile = Random(seed), corpus.sound_files(), attacks()
    others = [data for files in sound.values() for data in files]
    cuts = {reader: _cuts(random, files) for reader, files in sound.items()}
    harmful: dict[str, list[bytes]] = {reader: [] for reader in sound}
    for turn in count():
        for reader, files in sound.items():
            attack = next(hostile[reader], None) if turn % 10 == 0 else None
            if attack is not None:
                yield reader, attack
                harmful[reader].append(attack[:_SOME])
            elif turn % 5 == 1:
                yield reader, next(cuts[reader])
            elif turn % 10 == 2:
                yield reader, damaged(random, reader, random.choice(harmful[reader]), others)
            else:
                yield reader, damaged(random, reader, random.choice(files), others)


def _cuts(random: Random, files: list[bytes]) -> Iterator[bytes]:
    """Yield every file cut at every byte, in a random order, again and again."""
    places = [(data, length) for data in files for length in range(len(data))]
    while True:
        for data, length in random.sample(places, len(places)):
            yield data[:length]


def _keep(folder: Path, reader: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{reader}-{abs(hash(data)) % 2**32:08x}"
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    sys.exit(main())
