"""Mistakes in norms of groups, instances and root mean squares: another epsilon, another number of groups."""

from __future__ import annotations

from collections.abc import Iterator

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


def _affine(case: Case, y: Array, *, last: bool = False) -> Array:
    """Apply the scale and shift of every channel, which is the second axis or the last."""
    shape = (-1,) if last else (-1, *(1,) * (y.ndim - 2))
    for name, apply in (("weight", np.multiply), ("bias", np.add)):
        if name in case.parameters:
            y = apply(y, case.parameters[name].reshape(shape))
    return y


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
    for eps in epsilons(case, correct):
        says = f"its epsilon is {eps:g}, not {correct:g}: pass epsilon={correct:g}"
        yield Prediction("groupnorm eps", says, case.place("epsilon"), [_affine(case, _normed(x, groups, eps))])
    for other in range(1, x.shape[1] + 1):
        if x.shape[1] % other == 0 and other != groups:
            says = f"it has {other} groups, not {groups}: pass num_groups={groups}"
            predicted = _affine(case, _normed(x, other, correct))
            yield Prediction("number of groups", says, case.place("num_groups"), [predicted])


def _instance(case: Case) -> Iterator[Prediction]:
    if "InstanceNorm" not in case.kind:
        return
    x, correct = case.inputs[0], float(case.settings.get("eps", 1e-5))
    for eps in epsilons(case, correct):
        says = f"its epsilon is {eps:g}, not {correct:g}: pass epsilon={correct:g}"
        predicted = _affine(case, _normed(x, x.shape[1], eps))
        yield Prediction("instancenorm eps", says, case.place("epsilon"), [predicted])


def _rms(case: Case) -> Iterator[Prediction]:
    if "RMSNorm" not in case.kind:
        return
    x = case.inputs[0]
    named = (case.settings.get(name) for name in ("eps", "epsilon", "variance_epsilon"))
    correct = next((float(value) for value in named if value is not None), float(np.finfo(x.dtype).eps))
    mean = np.square(x).mean(-1, keepdims=True)
    for eps in epsilons(case, correct):
        says = f"its epsilon is {eps:g}, not {correct:g}: give it {correct:g}"
        predicted = _affine(case, x / np.sqrt(mean + eps), last=True)
        yield Prediction("rmsnorm eps", says, case.place("epsilon"), [predicted])
    predicted = _affine(case, x / (np.sqrt(mean) + correct), last=True)
    says = "its epsilon is added to the root mean square, not to the mean square: put it under the root"
    yield Prediction("epsilon outside of the root", says, case.place("forward"), [predicted])
