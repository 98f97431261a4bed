"""Mistakes in activations: another one, another form of the same, or another parameter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses import arithmetic
from alignment.hypotheses.base import FITTED, Case, Prediction, predictions, ratio

_KINDS = (
    *("GELU", "ReLU", "SiLU", "Swish", "Sigmoid", "Tanh", "Hardswish", "Hardsigmoid", "LeakyReLU", "ReLU6"),
    *("ELU", "CELU", "Softplus"),
)
_OWN = {
    "ReLU": "relu",
    "SiLU": "silu",
    "Swish": "silu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Hardswish": "hard swish",
    "Hardsigmoid": "hard sigmoid",
    "ReLU6": "relu6",
    "LeakyReLU": "leaky relu",
    "GELU": "gelu erf",
}
"""Class to the name in `arithmetic.ACTIVATIONS` of what it computes."""


def activation(case: Case) -> Iterator[Prediction]:
    """Predict another parameter of the same activation, another form of it, or another activation."""
    if any(word in case.kind for word in _KINDS) and len(case.inputs) == 1:
        yield from predictions((_leaky, _elu, _softplus, _hard_sigmoid, _others), case)


def _others(case: Case) -> Iterator[Prediction]:
    for name, function in arithmetic.ACTIVATIONS.items():
        if name == _OWN.get(case.kind) and case.settings.get("approximate", "none") == "none":
            continue  # another parameter of the same is told by its value
        says = f"it computes {name}, where the reference has {case.kind}"
        if name == "gelu tanh" and case.kind == "GELU":
            says = "GELU is approximated by tanh, where the reference has the exact one (erf)"
        if name == "gelu erf" and case.kind == "GELU":
            says = "GELU is the exact one (erf), where the reference approximates it by tanh"
        with np.errstate(over="ignore"):
            yield Prediction(name, says, case.place("approximate, or the class"), [function(case.inputs[0])])


def _parameter(case: Case, name: str, value: float, correct: float, array: Array) -> Iterator[Prediction]:
    """Predict another value of a parameter; nothing where it is the right one."""
    if value and f"{value:.6g}" != f"{correct:.6g}":  # one of 0 is another activation
        says = f"its {name} is {value:.6g}, not {correct:.6g}: pass {name}={correct:.6g}"
        yield Prediction("activation parameter", says, case.place(name), [array])


def _leaky(case: Case) -> Iterator[Prediction]:
    x, y = case.inputs[0], case.found[0]
    below = x < 0
    if case.kind == "LeakyReLU" and x.shape == y.shape and below.sum() >= FITTED:
        slope = ratio([x[below]], [y[below]])
        correct = float(case.settings.get("negative_slope", 0.01))
        yield from _parameter(case, "negative_slope", slope, correct, np.where(below, slope * x, x))


def _elu(case: Case) -> Iterator[Prediction]:
    x, y = case.inputs[0], case.found[0]
    below = x < 0
    if case.kind == "ELU" and x.shape == y.shape and below.sum() >= FITTED:
        alpha = ratio([np.expm1(x[below])], [y[below]])
        predicted = np.where(below, alpha * np.expm1(np.minimum(x, 0)), x)
        yield from _parameter(case, "alpha", alpha, float(case.settings.get("alpha", 1.0)), predicted)


def _softplus(case: Case) -> Iterator[Prediction]:
    if case.kind != "Softplus":
        return
    x = case.inputs[0]
    right = {name: float(case.settings.get(name, default)) for name, default in (("beta", 1.0), ("threshold", 20.0))}
    own = case.candidate_settings
    for beta in {float(own.get("beta", 1.0)), 0.5, 1.0, 2.0}:
        with np.errstate(over="ignore"):
            predicted = np.where(x * beta > right["threshold"], x, np.log1p(np.exp(np.minimum(x * beta, 700))) / beta)
        yield from _parameter(case, "beta", beta, right["beta"], predicted)
    for threshold in {float(own.get("threshold", 20.0)), 1.0, 15.0, 20.0}:
        scaled = x * right["beta"]
        predicted = np.where(scaled > threshold, x, np.log1p(np.exp(np.minimum(scaled, 700))) / right["beta"])
        yield from _parameter(case, "threshold", threshold, right["threshold"], predicted)


def _hard_sigmoid(case: Case) -> Iterator[Prediction]:
    """Predict another slope or offset, fitted where the function is neither 0 nor 1."""
    x, y = case.inputs[0], case.found[0]
    inner = (y > 0) & (y < 1)
    if case.kind != "Hardsigmoid" or x.shape != y.shape or inner.sum() < 2 * FITTED:
        return
    columns = np.stack((x[inner], np.ones(int(inner.sum()))), axis=1)
    slope, offset = np.linalg.lstsq(columns, y[inner], rcond=None)[0]
    predicted = np.clip(slope * x + offset, 0, 1)
    yield from _parameter(case, "slope", float(slope), 1 / 6, predicted)
    if abs(slope - 1 / 6) < 1e-6:
        yield from _parameter(case, "offset", float(offset), 0.5, predicted)
