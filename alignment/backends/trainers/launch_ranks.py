"""Several processes that train together, for a trainer of one process: torch's, Paddle's and MindSpore's.

torch's meet in a file and talk by gloo; gradients are averaged as `DistributedDataParallel` does it, but when an
update's micro-batches are all there. Paddle's are started by `paddle.distributed.launch`, one process a rank.
MindSpore's are started as `msrun` starts them: one process a rank, and a scheduler through which they meet.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from alignment.arrays import Array
from alignment.backends.trainers.base import Updated
from alignment.backends.trainers.exchange import read_results, write_request
from alignment.endings import how_it_ended, memory_kills
from alignment.errors import AlignmentError
from alignment.pair import Side
from recipe.config import Config

_BOOTSTRAP = Path(__file__).resolve().parents[2] / "processes" / "bootstrap.py"
_PATIENCE = 1800
"""Seconds that the processes may take."""
_ERROR = re.compile(r"[\w.]*(Error|Exception|Interrupt|Exit)\b")
"""How a line begins that tells a Python error."""
_CODE = re.compile(r"^Container rank \d+ status failed .* code (-?\d+) ", re.MULTILINE)
"""Where Paddle's launcher tells the exit code of a process."""


def train_in_ranks(
    side: Side, config: Config, weights: Mapping[str, Array], updates: int, world: int
) -> tuple[list[Updated], dict[str, Array], dict[str, Array]]:
    """Train in several processes, which share the micro-batches of an update; each has the trainer of the side.

    Args:
        side: How the model is built, and its trainer; its framework is torch, paddle or mindspore.
        config: Configuration of one process; its accumulation is divided by the processes.
        weights: The state dict to start from.
        updates: Number of updates.
        world: Number of processes.

    Returns:
        The updates, and the state dicts of the model and of its average.

    Raises:
        AlignmentError: The micro-batches cannot be shared out evenly, or a process failed.
    """
    with tempfile.TemporaryDirectory(prefix="pit-align-") as name:
        folder = Path(name)
        write_request(folder, side, config, weights, updates, world)
        before = memory_kills()
        codes, logs = _RUN[side.framework](folder, world)
        if any(codes):
            print("\n".join(logs), file=sys.stderr)  # which is the side's log
            title = {"torch": "torch", "paddle": "Paddle", "mindspore": "MindSpore"}[side.framework]
            summary = f"{world} {title} processes could not train together; the side's log in workers/ has their output"
            raise AlignmentError(summary, causes(codes, logs, for_memory=memory_kills() > before))
        return read_results(folder)


def causes(codes: Sequence[int], logs: Sequence[str], *, for_memory: bool) -> list[str]:
    """Return why processes that trained together failed: that one was killed, else the last error of each log.

    Args:
        codes: Exit codes of the processes, negative for a signal.
        logs: What each of them printed.
        for_memory: Whether the system has ended a process for lack of memory meanwhile.
    """
    if -signal.SIGKILL in codes:  # the others only lost the one that was killed
        ending = how_it_ended(-signal.SIGKILL, for_memory, "a smaller --image-size or model needs less")
        return [f"one of the processes: {ending}"]
    return list(dict.fromkeys(filter(None, map(last_error, logs))))


def last_error(log: str) -> str:
    """Return the last line of a log that tells a Python error, else its last line, shortened; empty without any."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return f"{(errors or lines or [''])[-1]:.300}"


def _run_torch(folder: Path, world: int) -> tuple[list[int], list[str]]:
    """Run torch's processes; returns their exit codes and logs."""
    program = [sys.executable, str(_BOOTSTRAP), "first", "alignment.backends.trainers.torch_rank", str(folder)]
    running = []
    for rank in range(world):
        with (folder / f"log.{rank}").open("w") as log:
            command = [*program, str(rank), str(world)]
            running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    try:
        codes = [process.wait(timeout=_PATIENCE) for process in running]
    finally:
        for process in running:
            process.kill()
    return codes, [(folder / f"log.{rank}").read_text(errors="replace") for rank in range(world)]


def _run_mindspore(folder: Path, world: int) -> tuple[list[int], list[str]]:
    """Run MindSpore's processes and their scheduler; returns the exit codes of the former, and all logs.

    The first that fails ends them all: the others would wait for it.
    """
    program = [sys.executable, str(_BOOTSTRAP), "first", "alignment.backends.trainers.mindspore_rank", str(folder)]
    meeting = {"MS_WORKER_NUM": str(world), "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": str(_free_port())}
    own = {name: value for name, value in os.environ.items() if not name.startswith("MS_")}
    running, paths = [], [*(folder / f"log.{rank}" for rank in range(world)), folder / "log.scheduler"]
    for rank, path in enumerate(paths):
        role = {"MS_ROLE": "MS_SCHED"} if rank == world else {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(rank)}
        with path.open("w") as log:
            place = own | meeting | role
            running.append(subprocess.Popen(program, env=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    ranks, until = running[:world], time.monotonic() + _PATIENCE
    try:
        while any(rank.poll() is None for rank in ranks) and not any(rank.poll() for rank in ranks):
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(program, _PATIENCE)
            time.sleep(0.05)
        codes = [rank.poll() or 0 for rank in ranks]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return codes, [path.read_text(errors="replace") for path in paths]


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def _run_paddle(folder: Path, world: int) -> tuple[list[int], list[str]]:
    """Run Paddle's launcher; returns its exit code and those that it tells, the logs of its processes and its own."""
    launcher = ("-m", "paddle.distributed.launch", "--nproc_per_node", str(world), "--log_dir", str(folder / "logs"))
    done = subprocess.run(
        [sys.executable, *launcher, str(_BOOTSTRAP), "first", "alignment.backends.trainers.paddle_rank", str(folder)],
        env={name: value for name, value in os.environ.items() if not name.startswith("PADDLE_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
    )
    codes = [done.returncode, *map(int, _CODE.findall(done.stdout))]
    return codes, [*(path.read_text(errors="replace") for path in sorted(folder.glob("logs/workerlog.*"))), done.stdout]


_RUN = {"torch": _run_torch, "paddle": _run_paddle, "mindspore": _run_mindspore}
