"""Distributed: two data-parallel workers of each side, and one worker of the reference, of one global batch.

One process of the reference adds up the micro-batches of an update; two workers of either side share them out. Losses,
rates, gradient norms and weights are to be the same, so that the reference's own workers are on trial as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from alignment.steps.base import Quantity
from alignment.steps.train import course
from alignment.steps.training_trial import Lesson

UPDATES = 3
WORLD = 2
WORKERS = "workers/"


def run(lesson: Lesson) -> Iterator[Quantity]:
    """Record what `alignment.steps.train` records, as `distributed/...` and as `distributed/workers/...`.

    The first are of one worker of the reference and of two of the candidate, the second of two workers of each. The
    configuration accumulates two micro-batches for each of that of `train`, which two workers share.
    """
    if lesson.role == "reference":
        yield from alone(lesson)
    shared = list(_trained(lesson, WORLD))
    if lesson.role == "candidate":
        yield from shared
    for quantity in shared:
        yield replace(quantity, key=quantity.key.replace("/", f"/{WORKERS}", 1))


def alone(lesson: Lesson) -> Iterator[Quantity]:
    """Record what one process makes of the updates, as `distributed/...`."""
    yield from _trained(lesson, 1)


def _trained(lesson: Lesson, world: int) -> Iterator[Quantity]:
    lesson.trainer.start(lesson.weights)
    updates = lesson.trainer.train(lesson.updates or UPDATES, world)
    yield from course("distributed", lesson, updates)
