"""Batch normalisation in training: logits in training mode, the running statistics after it, and its gradients.

Evaluation reads the running statistics and never shows how they came about. Frameworks disagree there: Paddle's
momentum is one minus torch's, and its running variance takes up the biased variance of a batch, torch's the unbiased
one. Gradients in training mode flow through the batch's own statistics, which those of the step `bp` do not.

The gradients are recorded in float64 only. A ReLU whose input is within rounding of zero switches a whole path on or
off, so that float32 gradients of two correct models can differ by far more than any noise measured beforehand.

Some of these vanish in exact arithmetic: a shift that the next normalisation takes off again has no gradient. What is
left of it is rounding, and for such the reference measures how far one unit in the last place moves it.

Dropouts and drop paths stay in evaluation mode, since each framework draws its own numbers. A model that draws some
elsewhere is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from alignment.arrays import Array
from alignment.errors import AlignmentError
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, Trial

_OUTPUT = Entry("output", "batchnorm")
_GRADIENT = Entry("gradient", "batchnorm", limit=1e-9)
"""The usual limit, given, so that small elements beside large ones are not judged: none of their noise is measured."""
_NOTHING = 1e-10
"""Largest norm of a gradient, over the largest one, that may be rounding altogether."""
_PERTURBATIONS = 2
_FIXED = 1e-3
"""The relative L2 between two passes that no rounding of sums in another order reaches."""


def run(trial: Trial) -> Iterator[Quantity]:
    """Record what one training batch gives, and what it leaves in a model with running statistics.

    That is `batchnorm/logits`, `batchnorm/running/<canonical name>`, and in float64 the gradients of the soft-target
    loss with regard to the input, `batchnorm/gradient/input`, and to the scale and shift of every norm.
    """
    backend = trial.backend
    backend.train(True)
    try:
        trial.reset()
        before = trial.forward().by_name
        trial.reset()
        outputs = trial.forward().by_name
        for name, array in outputs.items():
            _require_fixed(trial, before[name], array)
            yield Quantity(f"batchnorm/{name}", array, _OUTPUT)
        state = trial.canonical(backend.state())
        for name in trial.pair.architecture.statistics:
            yield Quantity(f"batchnorm/running/{name}", state[name], _OUTPUT)
        if trial.inputs.dtype == "float64":
            trial.backward()
            yield from _noted(trial, list(_gradients(trial)))
    finally:
        backend.train(False)


def _noted(trial: Trial, gradients: list[Quantity]) -> Iterator[Quantity]:
    """Yield the gradients; the reference notes with those next to nothing how far rounding moves them."""
    norms = {quantity.key: float(np.linalg.norm(quantity.array)) for quantity in gradients}
    nothing = {key for key, norm in norms.items() if norm < _NOTHING * max(norms.values())}
    spreads: dict[str, tuple[float, float]] = {}
    for number in range(_PERTURBATIONS if nothing and trial.role == "reference" else 0):
        moved = trial.moved(np.random.default_rng((number, 3)))
        moved.reset()
        moved.backward()
        again = {quantity.key: quantity.array for quantity in _gradients(moved)}
        for quantity in gradients:
            if quantity.key in nothing:
                change = np.abs(again[quantity.key] - quantity.array)
                before = spreads.get(quantity.key, (0.0, 0.0))
                spreads[quantity.key] = max(before[0], float(np.linalg.norm(change))), max(before[1], change.max())
    for quantity in gradients:
        norm, largest = spreads.get(quantity.key, (None, None))
        yield replace(quantity, entry=replace(quantity.entry, spread=norm, spread_max=largest))


def _require_fixed(trial: Trial, first: Array, second: Array) -> None:
    """Refuse a model whose passes in training mode differ: it draws, or changes itself, a module's mode for example.

    Raises:
        AlignmentError: It does.
    """
    first, second = (array.astype(np.float64) for array in (first, second))
    if np.linalg.norm(first - second) > _FIXED * np.linalg.norm(first):
        raise AlignmentError(
            f"{trial.pair.name}: the {trial.role} gives something else for the same batch once more in training mode: "
            "it draws random numbers beside its dropouts and drop paths, or a call changes it, such as the mode of a "
            "module; so the step batchnorm cannot compare it; run forward, metric, loss and bp each by itself"
        )


def _gradients(trial: Trial) -> Iterator[Quantity]:
    statistics = trial.pair.architecture.statistics
    norms = {name.rpartition(".")[0] for name in statistics}
    for key, gradient in trial.input_gradients("batchnorm"):
        yield Quantity(key, gradient, _GRADIENT)
    for name, gradient in trial.gradients(trial.backend.gradients()).items():
        if name not in statistics and name.rpartition(".")[0] in norms:
            yield Quantity(f"batchnorm/gradient/{name}", gradient, _GRADIENT)
