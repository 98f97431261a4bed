"""Schedule: the learning rate of every epoch of the configuration, warm-up, cosine, minimum and cooldown."""

from __future__ import annotations

from collections.abc import Iterator

from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, TrainingTrial


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record `schedule/lr`, `(epochs, 2)`: at the first and the last update of each epoch."""
    yield Quantity("schedule/lr", trial.trainer.rates().astype(trial.of_settings), Entry("setting", "schedule"))
