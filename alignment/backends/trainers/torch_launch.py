"""Several torch processes that train together, for the trainer of one.

They meet in a file and talk by gloo. Gradients are averaged as `DistributedDataParallel` does it, but when an update's
micro-batches are all there.
"""

from __future__ import annotations

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
    """Train in several processes; see `alignment.backends.trainers.paddle_launch.train_in_ranks`.

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
            words = [
                sys.executable,
                str(_BOOTSTRAP),
                "first",
                "alignment.backends.trainers.torch_rank",
                str(folder),
                str(rank),
                str(world),
            ]
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
