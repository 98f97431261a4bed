"""Regularisation: which parameter decays and by how much, and the rate of every dropout and drop path.

The decay is measured, not read off: all parameters are set to one and updated once with gradients of zero and a rate of
one. What is missing then is the decay that the optimiser really applies, whatever its groups say.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, TrainingTrial

_SETTING = Entry("setting", "regularisation")
_DIGITS = 14
"""Decimals of a decay that float64 leaves; it is a part of 1."""


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record `regularisation/decay/<canonical name>` and `regularisation/<kind>/<path>` of every drop rate.

    A decay is a scalar, or the whole tensor where its elements decay differently.
    """
    trainer, weights = trial.trainer, trial.weights
    trainer.start({name: np.ones_like(array) for name, array in weights.items()})
    trainer.apply({name: np.zeros_like(array) for name, array in weights.items()}, 1.0)
    for name, array in trial.canonical(trainer.weights()).items():
        if name not in trial.pair.architecture.buffers:
            yield Quantity(f"regularisation/decay/{name}", _decay(array), _SETTING)
    rates = trainer.drop_rates()
    count = np.asarray(len(rates), np.int64)
    yield Quantity("regularisation/stochastic_layers", count, Entry("count", "regularisation"))
    for path, rate in sorted(rates.items()):
        yield Quantity(f"regularisation/{path}", np.asarray(rate, np.float64), _SETTING)


def _decay(array: Array) -> Array:
    lost = 1 - array.astype(np.float64)
    rounded = np.round(lost, _DIGITS)
    return rounded.flat[0].reshape(()) if (rounded == rounded.flat[0]).all() else rounded
