"""The check points of training, each written once for every framework against `backends.trainers.base.Trainer`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from alignment.pair import ROLES, Pair
from alignment.steps import data, distributed, inference, init, optimizer, regularisation, schedule, train, train_data
from alignment.steps.training_trial import TrainingStep


@dataclass(frozen=True, slots=True)
class CheckPoint:
    """A check point of training.

    Attributes:
        run: Records it.
        once: The precision to build the trainer in where the step is run once, whatever the precisions of the run.
        accumulation: Micro-batches of an update for each of the configuration's.
        again: Records what hypotheses are held against, where that is less; None for `run`.
    """

    run: TrainingStep
    once: str | None = None
    accumulation: int = 1
    again: TrainingStep | None = None


TRAINING_STEPS: Mapping[str, CheckPoint] = {
    "data": CheckPoint(data.run, once="float32"),
    "train_data": CheckPoint(train_data.run, once="float32"),
    "init": CheckPoint(init.run, once="float32"),
    "schedule": CheckPoint(schedule.run, once="float64"),
    "regularisation": CheckPoint(regularisation.run, once="float64"),
    "optimizer": CheckPoint(optimizer.run),
    "train": CheckPoint(train.run),
    "distributed": CheckPoint(distributed.run, accumulation=distributed.WORLD, again=distributed.alone),
    "inference": CheckPoint(inference.run),
}
"""By the name they have on the command line, in the order in which `pit-align training` runs them."""


_SEVERAL = {"torch", "paddle"}
"""Frameworks whose trainers can train in several processes."""


def dtype_of_once(dtypes: Sequence[str]) -> str:
    """Of a run's precisions, the one in whose recording the steps are that are run once."""
    return "float64" if "float64" in dtypes else dtypes[0]


def hindrances(steps: Iterable[str], pair: Pair) -> dict[str, str]:
    """The steps among these that do not apply to a pair, with the reason."""
    reasons = {step: _hindrance(step, pair) for step in steps}
    return {step: reason for step, reason in reasons.items() if reason is not None}


def _hindrance(step: str, pair: Pair) -> str | None:
    without = [role for role in ROLES if not pair.side(role).training]
    if without:
        return f"the {' and the '.join(without)} of {pair.name} names no trainer (Side.training)"
    if pair.own:
        return f"{pair.name} has rules, and no published architecture that a recipe could be made for"
    alone = {pair.side(role).framework for role in ROLES} - _SEVERAL
    if step == "distributed" and alone:
        return f"a side of {pair.name} runs in {', '.join(sorted(alone))}, which trains in one process here"
    return None
