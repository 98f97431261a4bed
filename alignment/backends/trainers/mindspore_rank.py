"""The program of one rank of several MindSpore processes that train together, and of their scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from alignment.backends.trainers import base as trainers
from alignment.backends.trainers.exchange import read_request, write_results
from alignment.backends.trainers.mindspore import MindSporeTrainer
from mindspore_impl.training.parallel import join
from mindspore_impl.training.program import end

_PATIENCE = 1800
"""Seconds that a rank waits for the others."""


@dataclass
class Meeting:
    """Averages over the ranks once all of them are there: MindSpore gives up a rank that comes 30 seconds late.

    Attributes:
        share: Averages loss and gradients.
        folder: Folder that all ranks see.
        rank: Number of this rank.
        size: Number of ranks.
        count: How often they have met.
    """

    share: Callable[..., tuple[Any, ...]]
    folder: Path
    rank: int
    size: int
    count: int = 0

    def __call__(self, loss: Any, *gradients: Any) -> tuple[Any, ...]:
        """Take this rank's loss and gradients; return the mean loss, the norm, and the means."""
        self.count += 1
        (self.folder / f"met.{self.count}.{self.rank}").touch()
        others = [self.folder / f"met.{self.count}.{rank}" for rank in range(self.size)]
        until = time.monotonic() + _PATIENCE
        while not all(other.exists() for other in others):
            if time.monotonic() > until:
                raise TimeoutError(f"the other ranks did not come to update {self.count} within {_PATIENCE} seconds")
            time.sleep(0.01)
        return self.share(loss, *gradients)


def main(arguments: list[str]) -> int:
    """Train as one of the ranks; the first writes the results into the folder that is named."""
    folder = Path(arguments[0])
    side, config, weights, updates = read_request(folder)
    trainer = cast(MindSporeTrainer, trainers.create(side, config))
    world = join()  # where the scheduler stays
    if world.share is not None:
        world = replace(world, share=Meeting(world.share, folder, world.rank, world.size))
    trainer.join(world)
    trainer.start(weights)
    done = trainer.train(updates, world.size)
    if world.rank == 0:
        write_results(folder, done, trainer.weights(), trainer.average())
    end(0, world)
    return 0
