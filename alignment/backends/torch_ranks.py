"""Several torch processes that train together, for the trainer of one: `python -m alignment.backends.torch_ranks`.

They meet in a file and talk by gloo. Gradients are averaged as `DistributedDataParallel` does it, but when an update's
micro-batches are all there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch.distributed as dist

from alignment.backends import trainer as trainers
from alignment.backends.base import Array
from alignment.backends.rank_files import TAIL, read_request, read_results, write_request, write_results
from alignment.backends.torch_training import TorchTrainer
from alignment.backends.trainer import Updated
from alignment.errors import AlignmentError
from alignment.pair import Side
from recipe.config import Config

_BOOTSTRAP = Path(__file__).resolve().parents[1] / "bootstrap.py"
_PATIENCE = 1800


def train_in_ranks(
    side: Side, config: Config, weights: Mapping[str, Array], updates: int, world: int
) -> tuple[list[Updated], dict[str, Array], dict[str, Array]]:
    """Train in several processes; see `alignment.backends.paddle_ranks.train_in_ranks`.

    Raises:
        AlignmentError: The micro-batches cannot be shared out evenly, or a process failed.
    """
    with tempfile.TemporaryDirectory(prefix="pit-align-") as name:
        folder = Path(name)
        write_request(folder, side, config, weights, updates, world)
        _launch(folder, world)
        return read_results(folder)


def _launch(folder: Path, world: int) -> None:
    running = []
    for rank in range(world):
        with (folder / f"log.{rank}").open("w") as log:
            words = [sys.executable, str(_BOOTSTRAP), "first", __name__, str(folder), str(rank), str(world)]
            running.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    try:
        codes = [process.wait(timeout=_PATIENCE) for process in running]
    finally:
        for process in running:
            process.kill()
    if any(codes):
        logs = [(folder / f"log.{rank}").read_text(errors="replace") for rank in range(world)]
        lines = [line for log in logs for line in log.splitlines()[-TAIL:] if line.strip()]
        raise AlignmentError(f"{world} torch processes could not train together", lines)


def main(arguments: list[str]) -> int:
    """Train as one of the ranks; the first writes the results into the folder that is named."""
    folder, rank, world = Path(arguments[0]), int(arguments[1]), int(arguments[2])
    side, config, weights, updates = read_request(folder)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=world)
    try:
        trainer = cast(TorchTrainer, trainers.create(side, config))
        trainer.join(rank, world)
        trainer.start(weights)
        done = trainer.train(updates, world)
        if rank == 0:
            write_results(folder, done, trainer.weights(), trainer.average())
        dist.barrier()
    finally:
        dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
