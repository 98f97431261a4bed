"""The check points, each written once for every framework against `alignment.backends.base.Backend`."""

from __future__ import annotations

from collections.abc import Mapping

from alignment.pair import Pair
from alignment.steps import backward, batchnorm, forward, loss, metric, other_inputs, train_mode
from alignment.steps.base import Quantity, Step, Trial, hindrances

__all__ = ["STEPS", "Quantity", "Step", "Trial", "hindrances"]


def _no_gradient(pair: Pair) -> str | None:
    if pair.contract is None or pair.contract.has_gradients:
        return None
    sides = pair.contract.reference, pair.contract.candidate
    if any(side.outputs for side in sides):
        return f"no floating-point output of {pair.name} has the same name on both sides"
    return f"{pair.name} gives {' and '.join(dict.fromkeys(side.gives for side in sides))}, which has no gradient"


def _no_classifier(pair: Pair) -> str | None:
    return None if pair.classifies else _no_gradient(pair) or f"{pair.name} gives no logits, (batch, classes)"


def _no_batchnorm(pair: Pair) -> str | None:
    return _no_gradient(pair) if pair.architecture.statistics else f"{pair.name} has no running statistics"


def _other_in_training(pair: Pair) -> str | None:
    if not pair.own and pair.architecture.distilled:
        return f"{pair.name} gives two outputs in training mode; pit-align train compares them"
    return _no_gradient(pair)


STEPS: Mapping[str, Step[Trial]] = {
    "forward": Step(forward.run),
    "metric": Step(metric.run, _no_classifier),
    "loss": Step(loss.run, _no_classifier),
    "bp": Step(backward.run, _no_gradient),
    "batchnorm": Step(batchnorm.run, _no_batchnorm),
    "train_mode": Step(train_mode.run, _other_in_training),
    "other_inputs": Step(other_inputs.run),
}
"""Steps by the name they have on the command line, in the order in which `all` runs them."""
