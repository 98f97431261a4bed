"""The program of one rank of several torch processes that train together."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch.distributed as dist

from alignment.backends.trainers import base as trainers
from alignment.backends.trainers.exchange import read_request, write_results
from alignment.backends.trainers.torch import TorchTrainer


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
