"""The check points of training, each written once for every framework against `backends.trainers.base.Trainer`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from alignment.frameworks import FRAMEWORKS
from alignment.pair import ROLES, Pair
from alignment.steps import (
    data,
    distributed,
    inference,
    init,
    optimizer,
    plain,
    regularisation,
    schedule,
    train,
    train_data,
)
from alignment.steps.base import PlainTrial, Quantity, Step, TrainingTrial


def _no_trainer(pair: Pair) -> str | None:
    without = [role for role in ROLES if not pair.side(role).training]
    if without:
        return f"the {' and the '.join(without)} of {pair.name} names no trainer (Side.training)"
    if pair.own and any(pair.side(role).function for role in ROLES):
        return f"a side of {pair.name} is a function, which has no parameters to train"
    return None


def _no_images(pair: Pair) -> str | None:
    reason = "a Training has a model, an optimizer, a loss and a scheduler, and reads no image files"
    return _no_trainer(pair) or (reason if pair.own else None)


def _one_process(pair: Pair) -> str | None:
    return _no_trainer(pair) or ("a Training is run in one process" if pair.own else None)


@dataclass(frozen=True, slots=True)
class TrainingStep(Step[TrainingTrial]):
    """A check point of training.

    Attributes:
        once: The precision to build the trainer in where the step is run once, whatever the precisions of the run.
        accumulation: Micro-batches of an update for each of the configuration's.
        again: Records what hypotheses are compared with, where that is less than `run` records; None for `run`.
        plain: Records the step of a pair of one's own, whose sides return an `alignment.pair.Training`.
    """

    hindrance: Callable[[Pair], str | None] = _no_trainer
    once: str | None = None
    accumulation: int = 1
    again: Callable[[TrainingTrial], Iterator[Quantity]] | None = None
    plain: Callable[[PlainTrial], Iterator[Quantity]] | None = None


TRAINING_STEPS: Mapping[str, TrainingStep] = {
    "data": TrainingStep(data.run, _no_images, once="float32"),
    "train_data": TrainingStep(train_data.run, _no_images, once="float32"),
    "init": TrainingStep(init.run, once="float32", plain=init.run),
    "schedule": TrainingStep(schedule.run, once="float64", plain=plain.schedule),
    "regularisation": TrainingStep(regularisation.run, once="float64", plain=plain.regularisation),
    "optimizer": TrainingStep(optimizer.run, plain=plain.optimizer),
    "train": TrainingStep(train.run, plain=plain.train),
    "distributed": TrainingStep(distributed.run, _one_process, accumulation=distributed.WORLD, again=distributed.alone),
    "inference": TrainingStep(inference.run, _no_images),
}
"""By the name they have on the command line, in the order in which `pit-align training` runs them."""


def dtype_of_once(dtypes: Sequence[str], pair: Pair) -> str:
    """Of a run's precisions, the one in whose recording the steps are that are run once: both sides have it."""
    known = [FRAMEWORKS[pair.side(role).framework].dtypes for role in ROLES]
    common = [dtype for dtype in dtypes if all(dtype in possible for possible in known)] or list(dtypes)
    return "float64" if "float64" in common else common[0]
