"""Distributed: two data-parallel workers of each side, and one worker of the reference, of one global batch.

One process of the reference adds up the micro-batches of an update; two workers of either side share them out. Losses,
rates, gradient norms and weights are to be the same, so that the reference's own workers are on trial as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from alignment.steps.base import Quantity, TrainingTrial
from alignment.steps.train import course

UPDATES = 3
WORLD = 2
WORKERS = "workers/"


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record what `alignment.steps.train` records, as `distributed/...` and as `distributed/workers/...`.

    The first are of one worker of the reference and of two of the candidate, the second of two workers of each. The
    configuration accumulates two micro-batches for each of that of `train`, which two workers share.
    """
    if trial.role == "reference":
        yield from alone(trial)
    shared = list(_trained(trial, WORLD))
    if trial.role == "candidate":
        yield from shared
    for quantity in shared:
        yield replace(quantity, key=quantity.key.replace("/", f"/{WORKERS}", 1))


def alone(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record what one process makes of the updates, as `distributed/...`."""
    yield from _trained(trial, 1)


def _trained(trial: TrainingTrial, world: int) -> Iterator[Quantity]:
    trial.trainer.start(trial.weights)
    updates = trial.trainer.train(trial.updates or UPDATES, world)
    yield from course("distributed", trial, updates)
