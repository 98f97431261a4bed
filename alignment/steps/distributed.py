"""Distributed: two data-parallel workers of the candidate against one worker of the reference, of one global batch.

The reference adds up the micro-batches of an update in one process; the candidate shares them out. Losses, rates,
gradient norms and weights are to be the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from alignment.steps.base import Quantity
from alignment.steps.lesson import Lesson
from alignment.steps.train import course

UPDATES = 3
WORLD = 2


def run(lesson: Lesson) -> Iterator[Quantity]:
    """Record what `alignment.steps.train` records, as `distributed/...`.

    The configuration accumulates two micro-batches more than that of `train`, or half as many where workers share them.
    """
    lesson.trainer.start(lesson.weights)
    updates = lesson.trainer.train(lesson.updates or UPDATES, WORLD if lesson.role == "candidate" else 1)
    yield from course("distributed", lesson, updates)
