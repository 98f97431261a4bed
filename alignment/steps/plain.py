"""The check points of training for a pair of one's own, whose sides each return an `alignment.pair.Training`.

What is on trial is what the two functions return: the optimizer with its groups, the scheduler, the loss. Both sides
are given the same weights, gradients and batches.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array, Batch
from alignment.backends.randomness import rates as drop_rates
from alignment.backends.trainers.plain import usual
from alignment.pair.inputs import Inputs
from alignment.recordings.recording import Entry
from alignment.steps import train as of_recipe
from alignment.steps.base import PlainTrial, Quantity
from alignment.steps.regularisation import WIDE_RATE

STEPS, UPDATES, RATES = 3, 10, 100
"""Steps of the optimizer, updates of a run, and rates of a schedule, where no number is given."""
RATE = 2.0**-10
"""The rate at which most parameters are updated by `optimizer`; float32 holds it exactly."""
TURNS = (1.0, 0.5, 2.0)
"""What the rate is multiplied by at each step in turn, since some conventions differ only where it changes."""
_LARGEST, _DECADES = 1.0, 8.0
_DIGITS = 14
_WARM_UP = 10_000
"""Steps of a scheduler within which some rate is above zero."""
_PLATEAU = 10
"""Updates after which the metric that a scheduler may watch does not fall any more."""
_DRAWS = 1e-3
"""Relative difference of two losses of one batch that no rounding reaches."""
_SETTING = Entry("setting", "schedule")
_UNIT = 2.0**-22
"""Relative difference of two quotients of rates in float32 that are one number, for each update before."""


def schedule(trial: PlainTrial) -> Iterator[Quantity]:
    """Record `schedule/lr`, that of most parameters at each update, and `schedule/relative_rate/<name>` to it.

    A relative rate is a scalar, or all of them where it changes.
    """
    trial.trainer.start(trial.weights)
    most, others = [], []
    for number in range(max(RATES, trial.updates or 0)):
        numbers = trial.numbers(trial.trainer.rates())
        most.append(usual(rate for rate in numbers.values() if not np.isnan(rate)))
        others.append(list(numbers.values()))
        trial.trainer.advance(1 / (1 + min(number, _PLATEAU)))
    lr = np.asarray(most, np.float64)
    yield Quantity("schedule/lr", lr.astype(trial.of_settings), _SETTING)
    relative = np.asarray(others, np.float64)[lr != 0] / lr[lr != 0, None]
    for name, series in zip(numbers, relative.T, strict=True):
        if not np.isnan(series).any() and series.size:
            shares = _folded(series, _UNIT * len(series) if trial.of_settings == np.float32 else 0.0)
            yield Quantity(f"schedule/relative_rate/{name}", shares.astype(trial.of_settings), _SETTING)


def regularisation(trial: PlainTrial) -> Iterator[Quantity]:
    """Record `regularisation/decay/<name>` as measured, and `regularisation/rate_<rate>` of every dropout.

    All parameters are one, the gradients zero: a decay is what one update takes away, divided by the parameter's rate.
    It is a scalar, or the whole tensor where its elements decay differently.
    """
    trainer = trial.trainer
    ones = {name: np.ones_like(array) for name, array in trial.canonical(trial.weights, trial.parameters).items()}
    trainer.start({**trial.weights, **_in_layout(trial, ones)})
    rates = _at_rate(trial, 1.0 if trial.of_settings == np.float64 else WIDE_RATE)
    trainer.apply({name: np.zeros_like(array) for name, array in trial.weights.items()})
    entry = Entry("setting", "regularisation")
    for name, array in trial.canonical(trainer.weights(), trial.parameters).items():
        lost = np.round((1 - array.astype(np.float64)) / (rates.get(name) or 1.0), _DIGITS)
        yield Quantity(f"regularisation/decay/{name}", _folded(lost).astype(trial.of_settings), entry)
    modules = trainer.taps().modules.values()
    known = {rate for one in modules for rate in drop_rates(one.kind, one.bases, one.settings).values()}
    known |= trainer.measured_rates()
    for digits in sorted({f"{rate:.6g}" for rate in known}):
        yield Quantity(f"regularisation/rate_{digits}", np.asarray(float(digits)), entry)


def optimizer(trial: PlainTrial) -> Iterator[Quantity]:
    """Record `optimizer/step_<n>/parameter/<name>` after each of some steps with given gradients.

    Most parameters are updated at the rate `RATE` times one of `TURNS`, the others at their share of it.
    """
    trainer = trial.trainer
    trainer.start(trial.weights)
    entry = Entry("weights", "optimizer", limit=1e-12)
    for step in range(1, (trial.updates or STEPS) + 1):
        _at_rate(trial, RATE * TURNS[(step - 1) % len(TURNS)])
        trainer.apply({**trial.weights, **_in_layout(trial, gradients(trial, step))})
        for name, array in trial.canonical(trainer.weights(), trial.parameters).items():
            yield Quantity(f"optimizer/step_{step}/parameter/{name}", array, entry)


def gradients(trial: PlainTrial, step: int) -> dict[str, Array]:
    """What the optimizer is given at a step, counted from 1, by canonical name; elements of very different scales."""
    drawn = {}
    for number, name in enumerate(trial.parameters):
        generator = np.random.default_rng((trial.seed, step, number, 6))
        shape = trial.pair.architecture.tensors[name].shape
        scales = _LARGEST * 10.0 ** (-_DECADES * generator.random(shape))
        drawn[name] = (generator.standard_normal(shape) * scales).astype(np.float32)
    return drawn


def train(trial: PlainTrial) -> Iterator[Quantity]:
    """Record `train/draws`, `train/loss_<i>`, `/lr_<i>` and `/gradient_norm_<i>`, then `/weights/<name>`.

    What is random is off. A side that draws all the same records only that it does.
    """
    trainer, first = trial.trainer, trial.batches[0]
    trainer.start(trial.weights)
    before, after = (float(trainer.loss_of(first.batch, target_of(trial, first))) for _ in range(2))
    draws = bool(abs(before - after) > _DRAWS * abs(before))
    yield Quantity("train/draws", np.asarray(int(draws)), Entry("count", "train"))
    if draws:
        return
    trainer.start(trial.weights)
    batches = [trial.batches[number % len(trial.batches)] for number in range(trial.updates or UPDATES)]
    done = [trainer.update(batch.batch, target_of(trial, batch)) for batch in batches]
    yield from of_recipe.course("train", trial, done)


def target_of(trial: PlainTrial, inputs: Inputs) -> Batch:
    """What the user's loss is given beside the outputs."""
    if trial.pair.classifies:
        return inputs.labels
    return inputs.projections or inputs.soft_targets


def _at_rate(trial: PlainTrial, rate: float) -> dict[str, float]:
    """Give most parameters this rate, and the others their share of it; returns all rates by canonical name."""
    trainer = trial.trainer
    for _ in range(_WARM_UP):
        if any(rate > 0 for rate in trainer.rates().values()):
            break
        trainer.advance(1.0)
    most = usual(value for value in trial.numbers(trainer.rates()).values() if value > 0)
    if most:
        trainer.scale(rate / most)
    return trial.numbers(trainer.rates())


def _in_layout(trial: PlainTrial, arrays: dict[str, Array]) -> dict[str, Array]:
    """Arrays of the parameters as this side's state dict has them; what is no parameter is as it was."""
    return trial.in_layout({**trial.canonical_all, **arrays})


def _folded(array: Array, apart: float = 0.0) -> Array:
    """The first element, if the others are as far from it at most as a share of it; else the array."""
    same = array.size and (np.abs(array - array.flat[0]) <= apart * abs(array.flat[0])).all()
    return array.flat[0].reshape(()) if same else array
