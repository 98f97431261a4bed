"""Ends commands by signals at random moments, and starts several on one target, and checks what they leave.

A conversion over an older target, a training run that is resumed after every ending, and a matrix that the next one
completes each get the same number of SIGTERM, SIGHUP, SIGINT and SIGKILL. After each one is checked: the target is the
old or the new one, whole; nothing else is left, but a draft after SIGKILL; no process of the command lives on; the exit
code is a documented one; there is no traceback; and the state of a run can be read. Half of the signals come at any
moment of the command, the other half while it writes.

Exit status 1 if anything is found. `python -m benchmarks.endings --draws 2` takes about six minutes.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, NoReturn

import click
import numpy as np
from PIL import Image

from porting.architectures import build
from porting.checkpoint.formats.nested import Nested
from porting.conversion import write_random
from porting.errors import CheckpointError

ROOT = Path(__file__).parents[1]
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
PARTS = ("convert", "train", "matrix", "conversions", "alignments")
PATIENCE = 120.0
_LONGEST_AFTER = 20.0
"""Seconds that a command may take to end after a signal, on a busy machine."""


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        number: The signal that it was sent.
        code: Its exit code; the negative number of the signal that ended it.
        errors: Its standard error.
        alive: True if a process of it was still there afterwards.
    """

    number: signal.Signals
    code: int
    errors: str
    alive: bool


def environment() -> dict[str, str]:
    """Return an environment in which this tree is imported and one thread computes."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def command(tool: str, *words: str | Path) -> list[str]:
    """Return the command line of a tool, as its entry point runs it."""
    start = f"import _pit_port; _pit_port.{tool.replace('-', '_')}()"
    return [sys.executable, "-c", start, *map(str, words)]


def ended(pid: int, number: signal.Signals, log: Path, wait: Callable[[], int]) -> Ending:
    """Send a signal to a process that leads its own group, and wait for its end.

    SIGINT and SIGHUP go to the whole group, as a terminal sends them.
    """
    (os.killpg if number in (signal.SIGINT, signal.SIGHUP) else os.kill)(pid, number)
    code, deadline = wait(), time.monotonic() + _LONGEST_AFTER
    while (alive := _group_lives(pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return Ending(number, code, log.read_text(errors="replace"), alive)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def problems_of(ending: Ending, codes: Sequence[int]) -> Iterator[str]:
    """Yield what is wrong with an ending, whatever the command."""
    expected = {0, -ending.number, *(() if ending.number is signal.SIGKILL else codes)}
    if ending.code not in expected:
        yield f"exit code {ending.code}, expected one of {sorted(expected)}"
    if "Traceback" in ending.errors:
        yield f"a traceback:\n{ending.errors.strip()}"
    if ending.alive:
        yield "a process of it lives on"


class Conversion:
    """Ends conversions over an older target.

    Args:
        folder: An empty folder.
        draw: Source of the moments.
    """

    codes: ClassVar = {signal.SIGTERM: (), signal.SIGHUP: (), signal.SIGINT: (3, 130), signal.SIGKILL: ()}

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self._draw, self._log, self._source = draw, folder / "log", folder / "pit_ti.safetensors"
        write_random(build("pit_ti"), self._source)
        self._old, self._folder = b"an older target" * 1000, folder / "target"
        self._folder.mkdir()
        self._target = self._folder / "pit_ti.pdparams"
        start = time.monotonic()
        subprocess.run(self._command(), env=environment(), check=True, capture_output=True, cwd=folder)
        self.seconds = time.monotonic() - start
        self._new = self._target.read_bytes()

    def _command(self) -> list[str]:
        return command("pit-port", "convert", self._source, self._target, "--force")

    def attempt(self, number: signal.Signals, *, writing: bool) -> tuple[Ending, list[str]]:
        """End one conversion; return how it ended and what is wrong."""
        for left in self._folder.iterdir():
            left.unlink()
        self._target.write_bytes(self._old)
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                self._command(), env=environment(), stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        if writing:
            _until(lambda: self._drafts() or process.poll() is not None)
        time.sleep(self._draw.uniform(0, 0.15 if writing else self.seconds * 1.1))
        ending = ended(process.pid, number, self._log, lambda: process.wait(PATIENCE))
        problems = list(problems_of(ending, self.codes[number]))
        content = self._target.read_bytes()
        if content not in (self._old, self._new):
            problems.append(f"the target is torn: {len(content)} bytes")
        if ending.code == 0 and content != self._new:
            problems.append("it exited 0 and the target is the old one")
        if number is not signal.SIGKILL and (others := self._beside()):
            problems.append(f"left behind: {others}")
        return ending, problems

    def _drafts(self) -> bool:
        return any(path.suffix == ".part" for path in self._folder.iterdir())

    def _beside(self) -> list[str]:
        return [path.name for path in self._folder.iterdir() if path != self._target]


class Training:
    """Ends training runs and resumes them; the process forks for each, so that Paddle is imported once.

    Args:
        folder: An empty folder.
        draw: Source of the moments.
    """

    codes: ClassVar = {signal.SIGTERM: (143,), signal.SIGHUP: (129,), signal.SIGINT: (3, 130), signal.SIGKILL: ()}

    def __init__(self, folder: Path, draw: random.Random) -> None:
        for module in ("paddle_impl.training.run", "paddle_impl.training.assembly", "matplotlib.pyplot", "cli"):
            import_module(module)  # before the forks, which would do it each
        self._draw, self._folder, self._log = draw, folder, folder / "log"
        self._run, self._data = folder / "run", folder / "data"
        _write_images(self._data)
        start = time.monotonic()
        code = _wait(self._begin())
        if code:
            raise click.ClickException(f"the undisturbed run exits with {code}: {self._log.read_text()}")
        self.seconds = time.monotonic() - start
        self.complete = 0

    def _begin(self) -> int:
        settings = {
            "data.path": self._data,
            "run.output": self._run,
            "data.workers": self._draw.choice((0, 2)),
            "data.batch_size": 4,
            "schedule.epochs": 2,
            "schedule.warmup_epochs": 0,
            "run.save_updates": 2,
            "run.validate_every": 1,
        }
        words = ["--config", "pit_micro_digits", *(f"{name}={value}" for name, value in settings.items())]
        words += ["model.num_classes=2", "--resume", "auto"]
        pid = os.fork()
        if pid == 0:
            _carry_out(["train", *words], self._log)
        return pid

    def attempt(self, number: signal.Signals, *, writing: bool) -> tuple[Ending, list[str]]:
        """End one run, which is resumed by the next; return how it ended and what is wrong."""
        latest = self._run / "latest.pdparams"
        before = latest.stat().st_mtime_ns if latest.exists() else 0
        pid, codes = self._begin(), list[int]()

        def over() -> bool:
            if not codes and (ended_by := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                codes.append(ended_by.si_status)
            return bool(codes)

        if writing:
            _until(lambda: over() or (latest.exists() and latest.stat().st_mtime_ns != before))
        time.sleep(self._draw.uniform(0, 0.1 if writing else self.seconds))
        ending = ended(pid, number, self._log, lambda: _wait(pid))
        problems = list(problems_of(ending, self.codes[number]))
        left = [path.name for path in self._run.iterdir() if path.suffix == ".part"] if self._run.exists() else []
        if number is not signal.SIGKILL and left:
            problems.append(f"left behind: {left}")
        problems += _unreadable(latest)
        if ending.code == 0:
            self.complete += 1
            shutil.rmtree(self._run)
        return ending, problems


def _unreadable(state: Path) -> list[str]:
    try:
        if state.exists():
            Nested(state).__exit__(None, None, None)
    except CheckpointError as error:
        return [f"the state cannot be read: {error.summary}"]
    return []


def _carry_out(words: list[str], log: Path) -> NoReturn:
    """Run `pit-train` in this forked process, which leads a group of its own, and end it."""
    os.setpgid(0, 0)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = 1
    try:
        import cli

        cli.pit_train(words, prog_name="pit-train")
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except KeyboardInterrupt:  # outside of the command, as Python itself ends
        code = 130
    finally:
        os._exit(code)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise click.ClickException(f"nothing happened within {PATIENCE:.0f} s")
        time.sleep(0.002)


def _write_images(folder: Path) -> None:
    noise = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for label in ("0", "1"):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 256, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{number}.png")


def at_once(commands: Sequence[list[str]], folder: Path) -> list[int]:
    """Run commands at the same time in a folder; return their exit codes, sorted."""
    running = [
        subprocess.Popen(words, env=environment(), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for words in commands
    ]
    return sorted(process.wait(PATIENCE * 5) for process in running)


def conversions_at_once(folder: Path) -> Iterator[str]:
    """Yield what is wrong after ten conversions to one target, without and with `--force`."""
    source, target = folder / "pit_ti.safetensors", folder / "target" / "pit_ti.pdparams"
    write_random(build("pit_ti"), source)
    target.parent.mkdir()
    words = command("pit-port", "convert", source, target)
    first = at_once([words] * 10, folder)
    if first != [0, *[3] * 9]:
        yield f"ten conversions to a new target exited with {first}, expected one 0 and nine 3"
    content = target.read_bytes()
    second = at_once([[*words, "--force"]] * 10, folder)
    if second != [0] * 10:
        yield f"ten conversions with --force exited with {second}, expected ten 0"
    if target.read_bytes() != content:
        yield "the target has another content after --force"
    if left := [path.name for path in target.parent.iterdir() if path != target]:
        yield f"left behind: {left}"


def alignments_at_once(folder: Path) -> Iterator[str]:
    """Yield what is wrong after two `matrix`, and two `all`, that share a folder."""
    for tool_words, report in (
        (("matrix", "pit_micro", "--step", "forward"), "logs/pit_micro/report.json"),
        (("all", "--model", "pit_micro", "--batch-size", "1"), "logs/report.json"),
    ):
        shutil.rmtree(folder / "logs", ignore_errors=True)
        codes = at_once([command("pit-align", *tool_words, "--out", "logs")] * 2, folder)
        if codes not in ([0, 3], [0, 0]):
            yield f"two {tool_words[0]} exited with {codes}, expected one 0, and 3 for the one that was refused"
        if not (folder / report).is_file():
            yield f"two {tool_words[0]} left no {report}"
        click.echo(f"two {tool_words[0]} at once: exit codes {codes}")


class Matrices:
    """Ends runs of `matrix`, each of which a second one then completes.

    Args:
        folder: An empty folder.
        draw: Source of the moments.
    """

    codes: ClassVar = {signal.SIGTERM: (), signal.SIGHUP: (), signal.SIGINT: (3, 130), signal.SIGKILL: ()}

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self._draw, self._folder, self._log = draw, folder, folder / "log"
        self._words = command("pit-align", "matrix", "pit_micro", "pit_micro_distilled", "--step", "forward")
        start = time.monotonic()
        self._complete()
        self.seconds = time.monotonic() - start

    def _complete(self) -> int:
        with self._log.open("wb") as log:
            return subprocess.call(self._words, env=environment(), cwd=self._folder, stdout=log, stderr=log)

    def attempt(self, number: signal.Signals, *, writing: bool) -> tuple[Ending, list[str]]:
        """End one run, and complete it with the next; return how it ended and what is wrong."""
        shutil.rmtree(self._folder / "logs")
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                self._words,
                env=environment(),
                cwd=self._folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        if writing:
            first = self._folder / "logs/matrix/pit_micro/report.json"
            _until(lambda: first.exists() or process.poll() is not None)
        time.sleep(self._draw.uniform(0, 0.3 if writing else self.seconds))
        ending = ended(process.pid, number, self._log, lambda: process.wait(PATIENCE))
        problems = list(problems_of(ending, self.codes[number]))
        if code := self._complete():
            problems.append(f"the run after it exited with {code}: {self._log.read_text(errors='replace').strip()}")
        reports = {path.parent.name for path in (self._folder / "logs/matrix").glob("*/report.json")}
        if reports != {"pit_micro", "pit_micro_distilled"}:
            problems.append(f"the run after it left the reports of {sorted(reports)}")
        return ending, problems


def end_many(kind: str, subject: Conversion | Training | Matrices, draws: int) -> list[str]:
    """Send each signal so often, by turns; print a line for each, and return what is wrong.

    Ctrl-C ends it early; what was done until then is told.
    """
    found: list[str] = []
    codes: dict[signal.Signals, Counter[int]] = {number: Counter() for number in SIGNALS}
    try:
        for index in range(draws):
            for number in SIGNALS:
                ending, problems = subject.attempt(number, writing=index % 2 == 1)
                codes[number][ending.code] += 1
                found += [f"{kind}, {number.name}: {problem}" for problem in problems]
    except KeyboardInterrupt:
        click.echo(f"{kind}: ended early")
    for number, counter in codes.items():
        shown = ", ".join(f"{count} x {code}" for code, count in sorted(counter.items()))
        click.echo(f"{kind}, {sum(counter.values())} x {number.name}: exit codes {shown}")
    return found


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option("--draws", default=50, show_default=True, type=click.IntRange(min=1), help="Of each signal.")
@click.option("--seed", default=0, show_default=True)
def main(parts: tuple[str, ...], draws: int, seed: int) -> None:
    """End commands at random moments and start several at once; all PARTS by default."""
    for number in SIGNALS[:-1]:  # a shell may have begun this process with some of them ignored, which is inherited
        signal.signal(number, signal.default_int_handler)
    found: list[str] = []
    draw = random.Random(seed)
    for part in parts or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            if part == "convert":
                found += end_many("convert", Conversion(folder, draw), draws)
            elif part == "train":
                found += end_many("train", Training(folder, draw), draws)
            elif part == "matrix":
                found += end_many("matrix", Matrices(folder, draw), draws)
            else:
                found += list((conversions_at_once if part == "conversions" else alignments_at_once)(folder))
    click.echo("\n".join(found) or "nothing was lost, and nothing was left behind")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
