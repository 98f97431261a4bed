"""The check points, each written once for every framework against `alignment.backends.base.Backend`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from alignment.pair import Pair
from alignment.steps import backward, batchnorm, forward, loss, metric
from alignment.steps.base import Quantity, Step, Trial

__all__ = ["STEPS", "Quantity", "Step", "Trial", "hindrances"]

STEPS: Mapping[str, Step] = {
    "forward": forward.run,
    "metric": metric.run,
    "loss": loss.run,
    "bp": backward.run,
    "batchnorm": batchnorm.run,
}
"""Steps by the name they have on the command line, in the order in which `all` runs them."""


def _no_classifier(pair: Pair) -> str | None:
    return None if pair.classifies else _no_gradient(pair) or f"{pair.name} gives no logits, (batch, classes)"


def _no_gradient(pair: Pair) -> str | None:
    if pair.contract is None or pair.contract.has_gradients:
        return None
    sides = pair.contract.reference, pair.contract.candidate
    return f"{pair.name} gives {' and '.join(dict.fromkeys(side.gives for side in sides))}, which has no gradient"


_HINDRANCES: Mapping[str, Callable[[Pair], str | None]] = {
    "metric": _no_classifier,
    "loss": _no_classifier,
    "bp": _no_gradient,
    "batchnorm": lambda pair: batchnorm.hindrance(pair) or _no_gradient(pair),
}


def hindrances(steps: Iterable[str], pair: Pair) -> dict[str, str]:
    """The steps among these that do not apply to a pair, with the reason."""
    found = {step: _HINDRANCES[step](pair) for step in steps if step in _HINDRANCES}
    return {step: reason for step, reason in found.items() if reason is not None}
