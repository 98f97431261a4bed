"""Mistakes of embeddings: the row of padding, and ids that are off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction


def embedding(case: Case) -> Iterator[Prediction]:
    """Predict a row of padding that gives zeros or gets no gradient, and ids that are moved."""
    weight = case.parameters.get("weight")
    if "Embedding" not in case.kind or len(case.inputs) != 1 or weight is None or weight.ndim != 2:
        return
    ids = np.asarray(case.inputs[0])
    if ids.dtype.kind in "iu" and case.expected[0].shape == (*ids.shape, weight.shape[1]):
        if case.finding.direction == "backward":
            yield from _gradients(case, ids, weight)
            return
        yield from _padding(case, ids, weight)
        yield from _moved(case, ids, weight)


def _padding(case: Case, ids: Array, weight: Array) -> Iterator[Prediction]:
    correct, actual = case.expected[0], case.found[0]
    if actual.shape != correct.shape:
        return
    zeros = "it gives zeros for the id {}: Paddle's padding_idx does, torch's stops the gradient only"
    row = "it gives the row of its table for the id {}, where zeros are meant"
    for name, says, without, other in (
        ("padding row", zeros, actual, correct),
        ("padding row lost", row, correct, actual),
    ):
        for number in np.unique(ids[~without.any(-1) & other.any(-1)]):
            value = np.zeros_like(weight[number]) if without is actual else weight[number]
            predicted = np.where((ids == number)[..., None], value, correct)
            yield Prediction(name, says.format(number), case.place("padding_idx"), [predicted])


def _moved(case: Case, ids: Array, weight: Array) -> Iterator[Prediction]:
    for shift in (1, -1, 2, -2):
        says = f"it looks up the id plus {shift}" if shift > 0 else f"it looks up the id minus {-shift}"
        yield Prediction("ids moved", says, case.place("ids"), [weight[(ids + shift) % len(weight)]])


def _gradients(case: Case, ids: Array, weight: Array) -> Iterator[Prediction]:
    """Predict a gradient that lacks the part of another use, and one of a row of padding that one side stops."""
    key = next((name for name in case.extra if name.startswith("expected/gradient of ")), "")
    gradient = case.extra.get("given/output gradient 0")
    if not key or gradient is None:
        return
    correct, actual = case.extra[key], case.extra[key.replace("expected/", "found/", 1)]
    whole = np.zeros_like(correct)
    np.add.at(whole, ids.reshape(-1), gradient.reshape(-1, weight.shape[1]))
    if correct[np.setdiff1d(np.arange(len(weight)), ids)].any():  # no lookup gives rows of other ids a gradient
        says = "its own gradient is right; what is missing is that of another use of its weight, by a head for example"
        other = case.place("the other use of weight")
        yield Prediction("tied gradient lost", says, other, [whole], [correct], [actual])
    place = case.place("padding_idx")
    for number in np.unique(ids):
        for name, says, row in (
            ("padding gradient lost", f"the row of the id {number} gets no gradient, as one of padding", 0.0),
            ("padding gradient", f"the row of the id {number}, which is padding, gets a gradient", whole[number]),
        ):
            predicted = correct.copy()
            predicted[number] = row
            if not np.array_equal(predicted, correct):
                yield Prediction(name, says, place, [predicted], [correct], [actual])
