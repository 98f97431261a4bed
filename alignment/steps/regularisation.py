"""Regularisation: which parameter decays and by how much, and the rate of every dropout and drop path.

The decay is measured, not read off: all parameters are set to one and updated once with gradients of zero and a rate of
one (2**20 in a framework that keeps rates in float32, whose rounding of the ones is small beside that). What is missing
then, divided by the rate, is the decay that the optimiser really applies, whatever its groups say.
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
WIDE_RATE = 2.0**20
"""The rate at which a decay is measured in float32, beside which the weight of one does not round it."""


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record `regularisation/decay/<canonical name>` and `regularisation/<kind>/<path>` of every drop rate.

    A decay is a scalar, or the whole tensor where its elements decay differently.
    """
    trainer, weights = trial.trainer, trial.weights
    rate = 1.0 if trial.of_settings == np.float64 else WIDE_RATE
    trainer.start({name: np.ones_like(array) for name, array in weights.items()})
    trainer.apply({name: np.zeros_like(array) for name, array in weights.items()}, rate)
    for name, array in trial.canonical(trainer.weights()).items():
        if name not in trial.pair.architecture.buffers:
            decay = _decay(array, rate).astype(trial.of_settings)
            yield Quantity(f"regularisation/decay/{name}", decay, _SETTING)
    rates = trainer.drop_rates()
    count = np.asarray(len(rates), np.int64)
    yield Quantity("regularisation/stochastic_layers", count, Entry("count", "regularisation"))
    for path, rate in sorted(rates.items()):
        yield Quantity(f"regularisation/{path}", np.asarray(rate, np.float64), _SETTING)


def _decay(array: Array, rate: float) -> Array:
    lost = (1 - array.astype(np.float64)) / rate
    rounded = np.round(lost, _DIGITS)
    return rounded.flat[0].reshape(()) if (rounded == rounded.flat[0]).all() else rounded
