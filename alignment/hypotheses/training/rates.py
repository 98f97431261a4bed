"""Mistakes in the learning rate over the epochs, computed from the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import cos, pi
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training.base import RecipeCase, RecipeHypotheses
from recipe.config import Config, Schedule, schedule_time

_PLACE = "the scheduler: when it is stepped, and with which epoch"
EQUAL = 1e-9
"""Relative; two rates that are no farther apart are the same."""


Curve: TypeAlias = tuple[str, str, str, list[float]]
"""A schedule with a mistake: its name, its sentence, where to look, and the rate of every epoch."""


def rates_of(config: Schedule, peak: float, shape: Callable[[float], float] | None = None) -> list[float]:
    """Return the rate of every epoch as the recipe means it; `shape` takes the share of the epochs that are over."""
    fall = shape or (lambda share: (1 + cos(pi * share)) / 2)
    rates = []
    for epoch in range(config.epochs + config.cooldown_epochs):
        t, (begin, length) = schedule_time(config, epoch), config.cosine
        if t < config.warmup_epochs:
            rates.append(config.warmup_rate + t * (peak - config.warmup_rate) / config.warmup_epochs)
            continue
        share = min(1.0, (t - begin) / length)
        rates.append(config.minimum_rate + (peak - config.minimum_rate) * (fall(share) if share < 1 else 0))
    return rates


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of both sides, which curves are compared with.

    Attributes:
        config: The schedule that is meant.
        peak: The rate that its warm-up ends at.
        correct: The rate that every epoch should have.
        first: The candidate's first rate; None where too few are known to fit a curve to it.
        factor: The candidate's rates over the right ones, if all are the same multiple of them.
        epochs: Number of the candidate's epochs.
    """

    config: Schedule
    peak: float
    correct: list[float]
    first: float | None
    factor: float | None
    epochs: int

    @classmethod
    def of(cls, config: Config, correct: list[float], expected: Array, actual: Array, epochs: int) -> Rates:
        """Return the rates of a recipe, with `first` and `factor` fitted to some rates of both sides."""
        first = float(actual.flat[0]) if np.unique(expected).size > 1 else None
        return cls(config.schedule, config.optimizer.learning_rate, correct, first, _factor(expected, actual), epochs)


def _factor(expected: Array, actual: Array) -> float | None:
    """Return what all of some rates are times what they should be; None if they are no multiple, or too few to tell.

    Of rates that are all the same, and of a single one, any other one is a multiple.
    """
    there = expected != 0
    if expected.shape != actual.shape or np.unique(expected[there]).size < 2 or actual[~there].any():
        return None
    factors = actual[there] / expected[there]
    factor = float(np.median(factors))
    same = np.isfinite(factors).all() and np.allclose(factors, factor, rtol=EQUAL, atol=0)
    return factor if same and factor else None


def curves(rates: Rates) -> Iterator[Curve]:
    """Yield all known mistakes of a schedule."""
    for kind in (_shifted, _of_paddle, _settings, _shapes):
        yield from kind(rates)


def _shifted(rates: Rates) -> Iterator[Curve]:
    """Yield schedules that are early or late by epochs, or scaled."""
    correct, config = rates.correct, rates.config
    for shift in (1, -1, 2, -2):
        moved = correct[shift:] + correct[-1:] * shift if shift > 0 else correct[:1] * -shift + correct[:shift]
        says = f"every epoch has the rate of the one {abs(shift)} {'after' if shift > 0 else 'before'} it"
        yield ("schedule off by one", says, _PLACE, moved)
    quirk = rates_of(replace(config, deit_quirk=not config.deit_quirk), rates.peak)
    done = "the number of the epoch that is over" if not config.deit_quirk else "that of the next epoch"
    says = f"the scheduler is stepped with {done}, so that it is off by one epoch"
    yield ("schedule off by one", says, _PLACE, quirk)
    if rates.factor is not None:
        says = f"every rate is {rates.factor:.6g} times what it should be"
        yield ("rate scaled", says, "how the rate follows the batch", [rate * rates.factor for rate in correct])


def _settings(rates: Rates) -> Iterator[Curve]:
    """Yield schedules of another warm-up, minimum or length."""
    config, epochs = rates.config, rates.epochs
    whole, shorter = config.epochs + config.cooldown_epochs, max(1, epochs - config.cooldown_epochs)
    tried = [
        ("warm-up lost", "there is no warm-up", replace(config, warmup_epochs=0)),
        ("minimum rate", "it falls to zero: the minimum rate is lost", replace(config, minimum_rate=0.0)),
        ("minimum rate", "the minimum rate is 1e-05", replace(config, minimum_rate=1e-5)),
        ("minimum rate", "the minimum rate is 1e-06", replace(config, minimum_rate=1e-6)),
        ("cooldown lost", "there is no cooldown", replace(config, cooldown_epochs=0)),
        ("epochs", "the cooldown is part of the cosine", replace(config, epochs=whole, cooldown_epochs=0)),
        ("epochs", f"it has {epochs} epochs in all", replace(config, epochs=shorter)),
    ]
    if rates.first is not None:
        says = f"the warm-up begins at {rates.first:.3g}"
        tried.append(("warm-up rate", says, replace(config, warmup_rate=rates.first)))
    for length in range(1, 21):
        if length != config.warmup_epochs:
            says = f"the warm-up takes {length} epochs, not {config.warmup_epochs}"
            tried.append(("warm-up length", says, replace(config, warmup_epochs=length)))
    for name, says, other in tried:
        for quirk in (config.deit_quirk, not config.deit_quirk):
            curve = rates_of(replace(other, deit_quirk=quirk), rates.peak)
            more = "" if quirk == config.deit_quirk else ", and it is off by one epoch"
            yield (name, says + more, "the arguments of the scheduler", curve)


def _shapes(rates: Rates) -> Iterator[Curve]:
    """Yield schedules that fall along another curve."""
    config, peak, place = rates.config, rates.peak, "the formula of the cosine"
    start = config.warmup_epochs / config.epochs
    if start < 1:
        late = rates_of(config, peak, lambda share: (1 + cos(pi * (share - start) / (1 - start))) / 2)
        says = "the cosine counts from the end of the warm-up, not from the first epoch"
        yield ("cosine after warm-up", says, place, late)
    yield ("linear", "it falls linearly, not as a cosine", place, rates_of(config, peak, lambda share: 1 - share))
    says = "it does not fall after the warm-up"
    yield ("constant", says, place, rates_of(config, peak, lambda share: 1.0))


def _of_paddle(rates: Rates) -> Iterator[Curve]:
    """Yield Paddle's `LinearWarmup` over `CosineAnnealingDecay`, which both begin anew after the warm-up."""
    config = rates.config
    epochs, warm = config.epochs + config.cooldown_epochs, config.warmup_epochs
    for lowest in (0.0, config.minimum_rate):
        for ahead in (0, 1):
            curve = [_paddles(t + ahead, warm, config, rates.peak, lowest) for t in range(epochs)]
            name = "warm-up advanced" if ahead else "schedule of Paddle"
            says = "it is Paddle's LinearWarmup, whose cosine begins after the warm-up"
            more = f"{says}, advanced once before the first epoch (last_epoch=0)" if ahead else says
            yield (name, more, "last_epoch of LinearWarmup, and its first step()", curve)


def _paddles(t: int, warm: int, config: Schedule, peak: float, lowest: float) -> float:
    if t < warm:
        return config.warmup_rate + (peak - config.warmup_rate) * t / warm
    share = (t - warm) / max(1, config.epochs - warm)
    return lowest + (peak - lowest) * (1 + cos(pi * share)) / 2


def schedule(case: RecipeCase) -> Iterator[Prediction]:
    """Predict rates over the epochs that follow another curve."""
    expected, actual = case.expected["schedule/lr"], case.found["schedule/lr"]
    correct = [float(rate) for rate in expected[:, 0]]
    for name, says, place, rates in curves(Rates.of(case.config, correct, expected, actual, len(actual))):
        predicted = np.repeat(np.asarray(rates, np.float64)[:, None], actual.shape[1], axis=1)
        yield Prediction(name, says, place, [predicted])


SCHEDULE: tuple[RecipeHypotheses, ...] = (schedule,)
