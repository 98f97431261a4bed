"""Mistakes in batch normalisation: another epsilon, statistics of the wrong mode, a lost scale or shift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses import arithmetic
from alignment.hypotheses.base import Case, Prediction, distance
from alignment.hypotheses.norms import affine, other_epsilons

Statistics: TypeAlias = tuple[Array, Array]
"""Mean and variance of each channel, both of shape (channels,)."""


def batch_norm(case: Case) -> Iterator[Prediction]:
    """Predict another epsilon, statistics of the wrong mode, a lost scale or shift."""
    statistics = case.parameters.get("running_mean"), case.parameters.get("running_var")
    if "BatchNorm" not in case.kind or statistics[0] is None:
        return
    x, running = case.inputs[0], (statistics[0], np.asarray(statistics[1]))
    others = (0, *range(2, x.ndim))
    mistakes = _in_evaluation if case.finding.mode == "eval" else _in_training
    yield from mistakes(case, running, (x.mean(others), x.var(others)))


def _in_evaluation(case: Case, running: Statistics, batch: Statistics) -> Iterator[Prediction]:
    correct = _epsilon(case)
    after = _activation_after(case, _normed(case, correct, running))
    yield from other_epsilons(case, "batchnorm eps", correct, lambda eps: after(_normed(case, eps, running)))
    train = "it takes the statistics of the batch: it is left in training mode"
    for name, says, place, y in (
        ("train mode", train, "training", _normed(case, correct, batch)),
        (
            *("statistics swapped", "mean and variance are exchanged", "statistics"),
            _normed(case, correct, (running[1], np.abs(running[0]))),
        ),
        ("bias lost", "its shift is not added", "bias", _normed(case, correct, running, shifted=False)),
        ("scale lost", "its scale is not applied", "weight", _normed(case, correct, running, scaled=False)),
    ):
        yield Prediction(name, says, case.place(place), [after(y)])


def _in_training(case: Case, running: Statistics, batch: Statistics) -> Iterator[Prediction]:
    """Yield the mistakes of a norm that one side keeps in evaluation mode while the model trains, the other does not.

    Of a candidate that has an argument for it, `running_statistics` says more.
    """
    by_batch, by_running = (_normed(case, _epsilon(case), statistics) for statistics in (batch, running))
    if not case.candidate_settings.get("use_global_stats"):
        says = (
            "it stays in evaluation mode while the model trains: it normalises by its running statistics and does not "
            "update them; the reference's takes those of the batch: leave out what calls its eval()"
        )
        after = _activation_after(case, by_batch)
        yield Prediction("norm frozen", says, case.place("training"), [after(by_running)])
    says = (
        "it trains: it normalises by the batch and updates its running statistics; the reference keeps its own in "
        "evaluation mode: call its eval() in the model's train(), too"
    )
    after = _activation_after(case, by_running)
    yield Prediction("norm not frozen", says, case.place("training"), [after(by_batch)])


def _epsilon(case: Case) -> float:
    return float(case.settings.get("eps", 1e-5))


def _normed(case: Case, eps: float, statistics: Statistics, *, scaled: bool = True, shifted: bool = True) -> Array:
    x = case.inputs[0]
    places = x.ndim - 2  # none of rows, some of a sequence, a map or a volume
    after_channels = (..., *(None,) * places)
    mean, variance = (values[after_channels] for values in statistics)
    y = (x - mean) / np.sqrt(variance + eps)
    return affine(case, y, scaled=scaled, shifted=shifted, axes=places)


def _activation_after(case: Case, y: Array) -> Callable[[Array], Array]:
    """Return what follows the norm within the module: timm's have their ReLU inside."""
    tried = [arithmetic.ACTIVATIONS[name] for name in ("no activation", "relu", "silu")]
    fitting = (form for form in tried if distance([case.expected[0]], [form(y)]) < case.limit)
    return next(fitting, tried[0])
