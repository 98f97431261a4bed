"""Mistakes in norms of groups, instances and root mean squares: another epsilon, another number of groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction, predictions

EPSILONS = (1e-5, 1e-6, 1e-3, 1e-12, 1e-8, 1e-7, 1e-4, 0.0)


def epsilons(case: Case, correct: float) -> list[float]:
    """Values that an epsilon may have instead of the right one: the candidate's own, then the common ones."""
    own = [case.candidate_settings.get(name) for name in ("epsilon", "eps", "variance_epsilon")]
    known = [float(value) for value in own if isinstance(value, int | float)]
    return [eps for eps in dict.fromkeys((*known, *EPSILONS)) if eps != correct]


def grouped_norm(case: Case) -> Iterator[Prediction]:
    """Predict another epsilon or number of groups of a group, instance or RMS norm."""
    if len(case.inputs) == 1 and case.finding.direction == "forward":
        yield from predictions((_group, _instance, _rms), case)


def affine(case: Case, y: Array, *, scaled: bool = True, shifted: bool = True, axes: int = 0) -> Array:
    """Apply scale and shift of a norm; the last axis of each is that of the input that has `axes` others after it."""
    weight, bias = (case.parameters.get(name) for name in ("weight", "bias"))
    after = (..., *(None,) * axes)
    y = y * weight[after] if scaled and weight is not None else y
    return y + bias[after] if shifted and bias is not None else y


def other_epsilons(case: Case, name: str, correct: float, norm: Callable[[float], Array]) -> Iterator[Prediction]:
    """Predict what a norm gives with another epsilon, of which `norm` returns the output."""
    for eps in epsilons(case, correct):
        says = f"its epsilon is {eps:g}, not {correct:g}: pass epsilon={correct:g}"
        yield Prediction(name, says, case.place("epsilon"), [norm(eps)])


def _normed(x: Array, groups: int, eps: float) -> Array:
    parts = x.reshape(len(x), groups, -1)
    middle = parts - parts.mean(-1, keepdims=True)
    y: Array = middle / np.sqrt(np.square(middle).mean(-1, keepdims=True) + eps)
    return y.reshape(x.shape)


def _group(case: Case) -> Iterator[Prediction]:
    if "GroupNorm" not in case.kind:
        return
    x, groups = case.inputs[0], int(case.settings["num_groups"])
    correct = float(case.settings.get("eps", 1e-5))
    yield from other_epsilons(
        case, "groupnorm eps", correct, lambda eps: affine(case, _normed(x, groups, eps), axes=x.ndim - 2)
    )
    for other in range(1, x.shape[1] + 1):
        if x.shape[1] % other == 0 and other != groups:
            says = f"it has {other} groups, not {groups}: pass num_groups={groups}"
            predicted = affine(case, _normed(x, other, correct), axes=x.ndim - 2)
            yield Prediction("number of groups", says, case.place("num_groups"), [predicted])


def _instance(case: Case) -> Iterator[Prediction]:
    if "InstanceNorm" not in case.kind:
        return
    x, correct = case.inputs[0], float(case.settings.get("eps", 1e-5))
    yield from other_epsilons(
        case, "instancenorm eps", correct, lambda eps: affine(case, _normed(x, x.shape[1], eps), axes=x.ndim - 2)
    )


def _rms(case: Case) -> Iterator[Prediction]:
    if "RMSNorm" not in case.kind:
        return
    x = case.inputs[0]
    named = (case.settings.get(name) for name in ("eps", "epsilon", "variance_epsilon"))
    correct = next((float(value) for value in named if value is not None), float(np.finfo(x.dtype).eps))
    mean = np.square(x).mean(-1, keepdims=True)
    for eps in epsilons(case, correct):
        says = f"its epsilon is {eps:g}, not {correct:g}: give it {correct:g}"
        predicted = affine(case, x / np.sqrt(mean + eps))
        yield Prediction("rmsnorm eps", says, case.place("epsilon"), [predicted])
    predicted = affine(case, x / (np.sqrt(mean) + correct))
    says = "its epsilon is added to the root mean square, not to the mean square: put it under the root"
    yield Prediction("epsilon outside of the root", says, case.place("forward"), [predicted])
