"""Several Paddle processes that train together, for the trainer of one: `python -m alignment.backends.paddle_ranks`.

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
from typing import cast

import paddle

from alignment.backends import trainer as trainers
from alignment.backends.base import Array
from alignment.backends.paddle_training import PaddleTrainer
from alignment.backends.rank_files import TAIL, read_request, read_results, write_request, write_results
from alignment.backends.trainer import Updated
from alignment.errors import AlignmentError
from alignment.pair import Side
from paddle_impl.training.parallel import join
from recipe.config import Config

_BOOTSTRAP = Path(__file__).resolve().parents[1] / "bootstrap.py"
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
        [sys.executable, *launcher, str(_BOOTSTRAP), "first", __name__, str(folder)],
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


def main(arguments: list[str]) -> int:
    """Train as one of the ranks; the first writes the results into the folder that is named."""
    folder = Path(arguments[0])
    side, config, weights, updates = read_request(folder)
    paddle.set_device("cpu" if config.run.device == "cpu" else f"gpu:{paddle.distributed.ParallelEnv().device_id}")
    world = join()
    trainer = cast(PaddleTrainer, trainers.create(side, config))
    trainer.join(world)
    trainer.start(weights)
    done = trainer.train(updates, world.size)
    if world.leads:
        write_results(folder, done, trainer.weights(), trainer.average())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
