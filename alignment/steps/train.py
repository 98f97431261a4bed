"""Train: some updates in training mode as they really run, on one tape of random numbers.

Both sides read, augment and mix the same images, drop the same paths, and are driven by their own loops: losses, rates
and gradient norms of every update, then the weights and their moving average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.trainers.base import Updated
from alignment.recordings.recording import Entry
from alignment.steps.base import PlainTrial, Quantity, TrainingTrial

UPDATES = 10
LIMIT, AVERAGE_LIMIT = 1e-8, 1e-9
"""Of weights, and of their average, which follows them slowly, so that one update of it that is left out is small."""


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record `train/loss_<i>`, `/lr_<i>` and `/gradient_norm_<i>`, then `/weights/<name>` and `/ema/<name>`."""
    trial.trainer.start(trial.weights)
    updates = trial.trainer.train(trial.updates or UPDATES)
    yield from course("train", trial, updates)


def course(step: str, trial: TrainingTrial | PlainTrial, updates: Sequence[Updated]) -> Iterator[Quantity]:
    """The quantities of a training run that is over."""
    kinds = {
        "loss": Entry("loss", step),
        "lr": Entry("setting", step),
        "gradient_norm": Entry("output", step, limit=LIMIT),
    }
    values = {
        "loss": [update.loss for update in updates],
        "lr": [update.rate for update in updates],
        "gradient_norm": [update.gradient_norm for update in updates],
    }
    for name, entry in kinds.items():
        dtype = trial.of_settings if entry.kind == "setting" else np.dtype(trial.precision)
        for number, value in enumerate(values[name]):
            yield Quantity(f"{step}/{name}_{number}", np.asarray(value, dtype), entry)
    yield from _weights(f"{step}/weights", trial, trial.trainer.weights(), Entry("weights", step, limit=LIMIT))
    average = trial.trainer.average()
    if average:
        yield from _weights(f"{step}/ema", trial, average, Entry("weights", step, limit=AVERAGE_LIMIT))


def _weights(
    place: str, trial: TrainingTrial | PlainTrial, arrays: Mapping[str, Array], entry: Entry
) -> Iterator[Quantity]:
    for name, array in trial.canonical(arrays).items():
        yield Quantity(f"{place}/{name}", array, entry)
