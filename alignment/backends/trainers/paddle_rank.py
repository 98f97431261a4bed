"""The program of one rank of several Paddle processes that train together."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import paddle

from alignment.backends.trainers import base as trainers
from alignment.backends.trainers.exchange import read_request, write_results
from alignment.backends.trainers.paddle import PaddleTrainer
from paddle_impl.training.parallel import join


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
