"""Mistakes in the learning rate over the epochs, computed from the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import cos, pi

import numpy as np

from alignment.backends.base import Array
from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training.base import RecipeCase, RecipeHypotheses
from recipe.config import Schedule

_PLACE = "the scheduler: when it is stepped, and with which epoch"


def _curve(config: Schedule, peak: float, shape: Callable[[float], float] | None = None) -> list[float]:
    """The rate of every epoch, as the recipe means it; `shape` takes the share of the epochs that are over."""
    fall = shape or (lambda share: (1 + cos(pi * share)) / 2)
    rates = []
    for epoch in range(config.epochs + config.cooldown_epochs):
        t = max(0, epoch - 1) if config.deit_quirk else epoch
        if t < config.warmup_epochs:
            rates.append(config.warmup_rate + t * (peak - config.warmup_rate) / config.warmup_epochs)
        elif t >= config.epochs:
            rates.append(config.minimum_rate)
        else:
            rates.append(config.minimum_rate + (peak - config.minimum_rate) * fall(t / config.epochs))
    return rates


def _of(case: RecipeCase, rates: list[float]) -> list[Array]:
    found = case.found["schedule/lr"]
    return [np.repeat(np.asarray(rates, np.float64)[:, None], found.shape[1], axis=1)]


def shifted(case: RecipeCase) -> Iterator[Prediction]:
    """A schedule that is early or late by epochs, or scaled."""
    right = [float(each) for each in case.expected["schedule/lr"][:, 0]]
    for shift in (1, -1, 2, -2):
        moved = right[shift:] + right[-1:] * shift if shift > 0 else right[:1] * -shift + right[:shift]
        says = f"every epoch has the rate of the one {abs(shift)} {'after' if shift > 0 else 'before'} it"
        yield Prediction("schedule off by one", says, _PLACE, _of(case, moved))
    config, peak = case.config.schedule, case.config.optimizer.learning_rate
    quirk = _curve(replace(config, deit_quirk=not config.deit_quirk), peak)
    done = "the number of the epoch that is over" if not config.deit_quirk else "that of the next epoch"
    says = f"the scheduler is stepped with {done}, so that it is off by one epoch"
    yield Prediction("schedule off by one", says, _PLACE, _of(case, quirk))
    found = case.found["schedule/lr"]
    if found.shape == case.expected["schedule/lr"].shape and found[0, 0]:
        factor = float(found[0, 0]) / right[0]
        says = f"every rate is {factor:.6g} times what it should be"
        yield Prediction("rate scaled", says, "how the rate follows the batch", _of(case, [r * factor for r in right]))


def settings(case: RecipeCase) -> Iterator[Prediction]:
    """Another warm-up, minimum, length."""
    config, peak = case.config.schedule, case.config.optimizer.learning_rate
    epochs = len(case.found["schedule/lr"])
    tried = [
        ("warm-up lost", "there is no warm-up", replace(config, warmup_epochs=0)),
        ("minimum rate", "it falls to zero: the minimum rate is lost", replace(config, minimum_rate=0.0)),
        ("minimum rate", "the minimum rate is 1e-05", replace(config, minimum_rate=1e-5)),
        ("cooldown lost", "there is no cooldown", replace(config, cooldown_epochs=0)),
        (
            *("epochs", "the cooldown is part of the cosine"),
            replace(config, epochs=config.epochs + config.cooldown_epochs, cooldown_epochs=0),
        ),
        (
            *("epochs", f"it has {epochs} epochs in all"),
            replace(config, epochs=max(1, epochs - config.cooldown_epochs)),
        ),
    ]
    first = float(case.found["schedule/lr"][0, 0])
    tried.append(("warm-up rate", f"the warm-up begins at {first:.3g}", replace(config, warmup_rate=first)))
    for length in range(1, 21):
        if length != config.warmup_epochs:
            says = f"the warm-up takes {length} epochs, not {config.warmup_epochs}"
            tried.append(("warm-up length", says, replace(config, warmup_epochs=length)))
    for name, says, other in tried:
        for quirk in (config.deit_quirk, not config.deit_quirk):
            rates = _curve(replace(other, deit_quirk=quirk), peak)
            more = "" if quirk == config.deit_quirk else ", and it is off by one epoch"
            yield Prediction(name, says + more, "the arguments of the scheduler", _of(case, rates))


def shapes(case: RecipeCase) -> Iterator[Prediction]:
    """Another curve."""
    config, peak = case.config.schedule, case.config.optimizer.learning_rate
    start = config.warmup_epochs / config.epochs
    place = "the formula of the cosine"
    late = _curve(config, peak, lambda share: (1 + cos(pi * (share - start) / (1 - start))) / 2)
    says = "the cosine counts from the end of the warm-up, not from the first epoch"
    yield Prediction("cosine after warm-up", says, place, _of(case, late))
    yield Prediction(
        "linear", "it falls linearly, not as a cosine", place, _of(case, _curve(config, peak, lambda s: 1 - s))
    )
    constant = _curve(config, peak, lambda share: 1.0)
    yield Prediction("constant", "it does not fall after the warm-up", place, _of(case, constant))


def of_paddle(case: RecipeCase) -> Iterator[Prediction]:
    """Paddle's `LinearWarmup` over `CosineAnnealingDecay`, which both begin anew after the warm-up."""
    config, peak = case.config.schedule, case.config.optimizer.learning_rate
    epochs, warm = config.epochs + config.cooldown_epochs, config.warmup_epochs
    for lowest in (0.0, config.minimum_rate):
        for ahead in (0, 1):
            rates = [_paddles(t + ahead, warm, config, peak, lowest) for t in range(epochs)]
            name = "warm-up advanced" if ahead else "schedule of Paddle"
            says = "it is Paddle's LinearWarmup, whose cosine begins after the warm-up"
            more = f"{says}, advanced once before the first epoch (last_epoch=0)" if ahead else says
            yield Prediction(name, more, "last_epoch of LinearWarmup, and its first step()", _of(case, rates))


def _paddles(t: int, warm: int, config: Schedule, peak: float, lowest: float) -> float:
    if t < warm:
        return config.warmup_rate + (peak - config.warmup_rate) * t / warm
    share = (t - warm) / max(1, config.epochs - warm)
    return lowest + (peak - lowest) * (1 + cos(pi * share)) / 2


SCHEDULE: tuple[RecipeHypotheses, ...] = (shifted, of_paddle, settings, shapes)
