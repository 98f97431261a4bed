"""Several Paddle processes that train together, for the trainer of one.

`paddle.distributed.launch` starts one process a rank, each of which trains with its share of every update; the first
writes what came of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from alignment.arrays import Array
from alignment.backends.trainers.base import Updated
from alignment.backends.trainers.exchange import TAIL, read_results, write_request
from alignment.errors import AlignmentError
from alignment.pair import Side
from recipe.config import Config

_BOOTSTRAP = Path(__file__).resolve().parents[2] / "processes" / "bootstrap.py"
_PATIENCE = 1800


def train_in_ranks(
    side: Side, config: Config, weights: Mapping[str, Array], updates: int, world: int
) -> tuple[list[Updated], dict[str, Array], dict[str, Array]]:
    """Train in several processes, which share the micro-batches of an update.

    Each has the trainer that the side names.

    Args:
        side: How the model is built, and its trainer.
        config: Of one process; the accumulation is divided by the processes.
        weights: The state dict to start from.
        updates: How many.
        world: Processes.

    Returns:
        The updates, and the state dicts of the model and of its average.

    Raises:
        AlignmentError: The micro-batches cannot be shared out evenly, or a process failed.
    """
    with tempfile.TemporaryDirectory(prefix="pit-align-") as name:
        folder = Path(name)
        write_request(folder, side, config, weights, updates, world)
        _launch(folder, world)
        return read_results(folder)


def _launch(folder: Path, world: int) -> None:
    launcher = ("-m", "paddle.distributed.launch", "--nproc_per_node", str(world), "--log_dir", str(folder / "logs"))
    known = {name: value for name, value in os.environ.items() if not name.startswith("PADDLE_")}
    done = subprocess.run(
        [sys.executable, *launcher, str(_BOOTSTRAP), "first", "alignment.backends.trainers.paddle_rank", str(folder)],
        env=known,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
    )
    if done.returncode:
        logs = [path.read_text(errors="replace") for path in sorted(folder.glob("logs/workerlog.*"))]
        lines = [line for log in (*logs, done.stdout) for line in log.splitlines()[-TAIL:] if line.strip()]
        raise AlignmentError(f"{world} Paddle processes could not train together", lines)
