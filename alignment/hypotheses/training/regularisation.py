"""Mistakes in what decays and by how much, and in the rates of drop paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training.base import GROUPS, RecipeCase, RecipeHypotheses
from porting.names import fold

_MOVED = 0.5
"""A decay of ones that is more than this, at a rate of one, is no decay but a step of the optimizer."""


def decays(case: RecipeCase) -> Iterator[Prediction]:
    """Predict parameters that are in the other group; decay of another strength, or through the moments."""
    if not case.has.startswith("decay"):
        return
    correct = [case.expected[key] for key in case.keys]
    actual = [case.found[key] for key in case.keys]
    decay = case.config.optimizer.weight_decay
    names = ", ".join(fold(key.removeprefix("regularisation/decay/") for key in case.keys))
    other = [np.full_like(array, 0.0 if array.flat[0] else decay) for array in correct]
    exempt = sum(bool(array.flat[0]) for array in correct)
    says = f"{len(correct) - exempt} parameters decay that should not, and {exempt} do not that should: {names}"
    yield Prediction("decay group", says, GROUPS, other)
    decaying = [key for key, array in case.expected.items() if "/decay/" in key and array.flat[0]]
    alike = all(a.shape == b.shape for a, b in zip(correct, actual, strict=True))
    if len(correct) > 1 and sorted(decaying) == sorted(case.keys) and alike:
        factor = float(np.median([b.flat[0] / a.flat[0] for a, b in zip(correct, actual, strict=True)]))
        if factor and abs(factor * decay) < _MOVED:
            says = f"everything that decays does so by {factor * decay:.6g}, not by {decay:g}"
            yield Prediction("decay scaled", says, "weight_decay", [array * factor for array in correct])
        step = 1 / (1 + case.config.optimizer.epsilon / decay)
        says = "the decay is added to the gradient, and goes through the moments, as in Adam with L2"
        yield Prediction("decay coupled", says, "Adam for AdamW", [np.full_like(array, step) for array in correct])


def drop_paths(case: RecipeCase) -> Iterator[Prediction]:
    """Predict rates that were never passed on, do not grow, or fall."""
    if not case.has.startswith(("drop", "stochastic")):
        return
    paths = sorted(key for key in case.expected if "/drop_path/" in key)
    rates = np.array([float(case.expected[key]) for key in paths])
    if not paths:
        return
    layers, place = len(rates) // max(1, len(set(rates))), "drop_path of the blocks"
    highest = float(rates.max())
    yield _drop(case, "drop path lost", "no block drops its path: the rate is never passed on", place, {})
    theirs = [key for key in case.found if "/drop_path/" in key]
    says = f"all drop paths have the rate {highest:g}, where it should grow with the depth"
    yield _drop(case, "drop path not growing", says, place, dict.fromkeys(theirs, highest))
    order = np.argsort(rates, kind="stable")
    falling = np.concatenate((np.zeros(layers), rates[order]))[::-1]
    backwards = dict(zip([paths[at] for at in order], falling[layers:], strict=True))
    backwards |= {key: highest for key in theirs if key not in paths}
    says = "the rates fall with the depth, where they should grow"
    yield _drop(case, "drop path reversed", says, place, {key: rate for key, rate in backwards.items() if rate})


def _drop(case: RecipeCase, name: str, says: str, place: str, rates: Mapping[str, float]) -> Prediction:
    """Return a prediction of all rates at once: those of the drop paths, by key, and the number of layers."""
    keys = sorted(key for key in {*case.expected, *case.found} if "/drop_path/" in key)
    others = sum("/dropout/" in key for key in case.expected)

    def all_of(side: Mapping[str, Any], count: Any) -> list[Array]:
        return [np.array([*(float(side.get(key, 0.0)) for key in keys), float(count)])]

    expected, actual = (all_of(side, side["regularisation/stochastic_layers"]) for side in (case.expected, case.found))
    return Prediction(name, says, place, all_of(rates, len(rates) + others), expected, actual)


REGULARISATION: tuple[RecipeHypotheses, ...] = (decays, drop_paths)
