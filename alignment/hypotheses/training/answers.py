"""Mistakes in what becomes of the logits when a model is used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import sigmoid, softmax
from alignment.hypotheses.base import Prediction, predictions
from alignment.hypotheses.training.base import RecipeCase, RecipeHypotheses
from alignment.hypotheses.training.pictures import CROP, FILTER, NORMALISATION

_KEY = "inference/probabilities"


def shares(case: RecipeCase) -> Iterator[Prediction]:
    """Predict something else than a softmax, or columns in another order."""
    if _KEY not in case.keys:
        return
    expected, actual = (side[_KEY].astype(np.float64) for side in (case.expected, case.found))
    if expected.shape != actual.shape:
        return
    says = "the logits are returned: they do not go through a softmax"
    # logits are known up to a constant a row, which the softmax does not tell
    yield Prediction("no softmax", says, "what follows the model", [expected], found=[softmax(actual)])
    if ((actual > 0) & (actual < 1)).all():
        logits = np.log(actual) - np.log1p(-actual)
        says = "each class goes through a sigmoid, where all go through a softmax"
        if np.allclose(sigmoid(logits), actual):
            yield Prediction("sigmoid", says, "what follows the model", [expected], found=[softmax(logits)])
    yield from _orders(expected, actual)
    says = "the softmax is taken twice"
    yield Prediction("softmax twice", says, "what follows the model", [softmax(expected)], found=[actual])


def _orders(expected: Array, actual: Array) -> Iterator[Prediction]:
    """Predict columns in another order, each matched with the nearest."""
    apart = np.abs(expected[:, :, None] - actual[:, None, :]).sum(0)
    order = apart.argmin(0)
    if sorted(order) == list(range(len(order))):
        moved = [int(index) for index in np.flatnonzero(order != np.arange(len(order)))]
        as_text = sorted(range(len(order)), key=str) == [int(index) for index in order]
        why = "sorted as text: 0, 1, 10, 11, 2" if as_text else f"in another order: {moved[:6]}"
        place = "the list of the class names, and how it is sorted"
        yield Prediction("class order", f"the classes are {why}", place, [expected[:, order]], found=[actual])


def images(case: RecipeCase) -> Iterator[Prediction]:
    """Predict images that are prepared otherwise."""
    yield from predictions((FILTER, CROP, *NORMALISATION), case)


ANSWERS: tuple[RecipeHypotheses, ...] = (shares, images)
