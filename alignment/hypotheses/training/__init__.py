"""Known mistakes of the check points of training, by check point.

They are predicted in two ways. Some are computed with NumPy from what both sides recorded. For the others, the
reference trains once more with the mistake: with another setting of the recipe (`optimizer.epsilon=1e-06`), or with one
of the mistakes that its backend knows how to make. To teach the toolkit another one, write a generator of `Prediction`s
and add it to the tuple of its check point.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignment.hypotheses.training.answers import ANSWERS
from alignment.hypotheses.training.augmentation import AUGMENTATION
from alignment.hypotheses.training.base import Change, RecipeCase, RecipeHypotheses
from alignment.hypotheses.training.initial import explain_sample
from alignment.hypotheses.training.optimizer import OPTIMIZER
from alignment.hypotheses.training.pictures import PICTURES
from alignment.hypotheses.training.rates import SCHEDULE
from alignment.hypotheses.training.regularisation import REGULARISATION
from alignment.hypotheses.training.updates import DISTRIBUTED, TRAIN

__all__ = ["TRAINING_HYPOTHESES", "Change", "RecipeCase", "explain_sample"]

TRAINING_HYPOTHESES: Mapping[str, tuple[RecipeHypotheses, ...]] = {
    "data": PICTURES,
    "train_data": AUGMENTATION,
    "schedule": SCHEDULE,
    "regularisation": REGULARISATION,
    "optimizer": OPTIMIZER,
    "train": TRAIN,
    "distributed": DISTRIBUTED,
    "inference": ANSWERS,
}
"""The more telling ones first. Initial values are random: `explain_sample` compares distributions."""
