"""The published pair of pit_micro in MindSpore, with mistakes in the training code that `pit-train` runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from alignment.pair import Pair
from alignment.pair.published import build


def _pair(mistake: str) -> Pair:
    pair = build("pit_micro", num_classes=10, candidate="mindspore")
    candidate = replace(pair.candidate, training=f"trainers.py:{mistake}")
    return replace(pair, name=mistake, candidate=candidate, origin=None)


def _trainer(side: Any, config: Any, name: str, wrong: Callable[[Any], Any]) -> Any:
    """The right trainer, with a function of the recipe replaced in the process by what is made of it."""
    from alignment.backends.trainers import mindspore as trainer
    from mindspore_impl.training import recipe, run

    changed = wrong(getattr(recipe, name))
    for module in (recipe, run, trainer):
        if hasattr(module, name):
            patch.object(module, name, changed).start()
    return trainer.create(side, config)


def decays_all(side: Any, config: Any) -> Any:
    """Everything decays: vectors, tokens and embeddings too."""
    wrong = lambda right: lambda model, decay_all: right(model, decay_all=True)  # noqa: E731 (three of a kind)
    return _trainer(side, config, "decay_groups", wrong)


def doubled_rate(side: Any, config: Any) -> Any:
    """Every rate of the run is twice what it is to be."""
    return _trainer(side, config, "all_rates", lambda right: lambda *given: [2 * rate for rate in right(*given)])


def epoch_late(side: Any, config: Any) -> Any:
    """The rates are those of the epoch before."""

    def late(schedule: Any, updates: int) -> list[float]:
        return [schedule.rate(max(epoch - 1, 0)) for epoch in range(schedule.epochs) for _ in range(updates)]

    return _trainer(side, config, "all_rates", lambda right: late)


def other_epsilon(side: Any, config: Any) -> Any:
    """The optimizer's epsilon is a hundred times as large."""

    def wrong(right: Any) -> Any:
        return lambda model, settings, rates: right(model, replace(settings, epsilon=settings.epsilon * 100), rates)

    return _trainer(side, config, "create_optimizer", wrong)


def halved_drop_paths(side: Any, config: Any) -> Any:
    """Drop paths rise to half of the rate."""
    return _trainer(side, config, "drop_path_rates", lambda right: lambda model, highest: right(model, highest / 2))


def average_of_the_start(side: Any, config: Any) -> Any:
    """The moving average never moves."""

    def wrong(right: Any) -> Any:
        return lambda optimizer, weights, average: right(optimizer, weights, None)

    return _trainer(side, config, "Apply", wrong)


DECAYS_ALL = _pair("decays_all")
DOUBLED_RATE = _pair("doubled_rate")
EPOCH_LATE = _pair("epoch_late")
OTHER_EPSILON = _pair("other_epsilon")
HALVED_DROP_PATHS = _pair("halved_drop_paths")
AVERAGE_OF_THE_START = _pair("average_of_the_start")
