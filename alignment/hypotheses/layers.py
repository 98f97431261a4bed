"""Mistakes in single layers: norms, activations, products, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from alignment.arrays import Array
from alignment.backends.checks import is_random
from alignment.hypotheses import arithmetic
from alignment.hypotheses.activations import activation
from alignment.hypotheses.base import Case, Prediction, distance, ratio
from alignment.hypotheses.convolutions import NO_BIAS, TWO_BIASES, convolution
from alignment.hypotheses.norms import epsilons, grouped_norm
from alignment.hypotheses.pooling import pooling, windows
from alignment.hypotheses.running_statistics import running_statistics


def _affine(case: Case, y: Array, *, scaled: bool = True, shifted: bool = True, axes: int = 0) -> Array:
    """Apply scale and shift of a norm; the last axis of each is that of the input that has `axes` others after it."""
    weight, bias = (case.parameters.get(name) for name in ("weight", "bias"))
    after = (..., *(None,) * axes)
    y = y * weight[after] if scaled and weight is not None else y
    return y + bias[after] if shifted and bias is not None else y


def _epsilons(case: Case, name: str, correct: float, norm: Callable[[float], Array]) -> Iterator[Prediction]:
    for eps in epsilons(case, correct):
        says = f"its epsilon is {eps:g}, not {correct:g}: pass epsilon={correct:g}"
        yield Prediction(name, says, case.place("epsilon"), [norm(eps)])


def layer_norm(case: Case) -> Iterator[Prediction]:
    """Predict another epsilon, another variance, a lost scale or shift."""
    if "LayerNorm" not in case.kind or len(case.inputs) != 1:
        return
    x = case.inputs[0]
    correct = float(case.settings.get("eps", case.settings.get("epsilon", 1e-5)))
    over = _normalised(case, x)
    count = math.prod(x.shape[axis] for axis in over)
    after = x.ndim - 2 if over == (1,) else 0

    def norm(eps: float, *, ddof: int = 0, centred: bool = True, **affine: bool) -> Array:
        middle = x - x.mean(over, keepdims=True) if centred else x
        variance = np.square(middle).sum(over, keepdims=True) / (count - ddof)
        return _affine(case, middle / np.sqrt(variance + eps), axes=after, **affine)

    yield from _epsilons(case, "layernorm eps", correct, norm)
    plain = norm(correct, scaled=False, shifted=False)
    for name, says, place, y in (
        ("bias lost", "its shift is not added", "bias", norm(correct, shifted=False)),
        ("scale lost", "its scale is not applied", "weight", norm(correct, scaled=False)),
        ("affine lost", "neither scale nor shift is applied", "weight and bias", plain),
        ("unbiased variance", "it divides by the unbiased variance", "forward", norm(correct, ddof=1)),
        ("rms norm", "the mean is not taken off: it is an RMS norm", "forward", norm(correct, centred=False)),
    ):
        yield Prediction(name, says, case.place(place), [y])


def _normalised(case: Case, x: Array) -> tuple[int, ...]:
    """Return the axes that a layer norm goes over: that of channels, or as many last ones as its scale has, or one."""
    weight, shape = case.parameters.get("weight"), case.settings.get("normalized_shape", ())
    width = len(weight) if weight is not None and weight.ndim == 1 else None
    elsewhere = "2d" in case.kind or (width is not None and x.shape[-1] != width)
    if x.ndim > 2 and elsewhere and width in (None, x.shape[1]):
        return (1,)
    count = weight.ndim if weight is not None else len(shape) if isinstance(shape, tuple | list) else 1
    return tuple(range(-min(max(count, 1), x.ndim), 0))


def batch_norm(case: Case) -> Iterator[Prediction]:
    """Predict another epsilon, statistics of the batch instead of the running ones, a lost scale or shift."""
    statistics = case.parameters.get("running_mean"), case.parameters.get("running_var")
    if "BatchNorm" not in case.kind or statistics[0] is None or case.finding.mode != "eval":
        return
    x = case.inputs[0]
    running: tuple[Array, Array] = (statistics[0], np.asarray(statistics[1]))
    correct = float(case.settings.get("eps", 1e-5))

    places, others = x.ndim - 2, (0, *range(2, x.ndim))  # none of rows, some of a sequence, a map or a volume
    after_channels = (..., *(None,) * places)

    def norm(eps: float, mean: Array, variance: Array, **affine: bool) -> Array:
        y = (x - mean[after_channels]) / np.sqrt(variance[after_channels] + eps)
        return _affine(case, y, axes=places, **affine)

    after = _activation_after(case, norm(correct, *running))
    yield from _epsilons(case, "batchnorm eps", correct, lambda eps: after(norm(eps, *running)))
    batch = x.mean(others), x.var(others)
    train = "it takes the statistics of the batch: it is left in training mode"
    swapped = norm(correct, running[1], np.abs(running[0]))
    for name, says, place, y in (
        ("train mode", train, "training", norm(correct, *batch)),
        ("statistics swapped", "mean and variance are exchanged", "statistics", swapped),
        ("bias lost", "its shift is not added", "bias", norm(correct, *running, shifted=False)),
        ("scale lost", "its scale is not applied", "weight", norm(correct, *running, scaled=False)),
    ):
        yield Prediction(name, says, case.place(place), [after(y)])


def _activation_after(case: Case, y: Array) -> Callable[[Array], Array]:
    """Return what follows the norm within the module: timm's have their ReLU inside."""
    tried = [arithmetic.ACTIVATIONS[name] for name in ("no activation", "relu", "silu")]
    fitting = (form for form in tried if distance([case.expected[0]], [form(y)]) < case.limit)
    return next(fitting, tried[0])


def linear(case: Case) -> Iterator[Prediction]:
    """Predict a weight applied as it is stored elsewhere, a lost or doubled bias."""
    weight, bias = case.parameters.get("weight"), case.parameters.get("bias")
    if case.kind != "Linear" or weight is None:
        return
    x = case.inputs[0]
    product, shift = x @ weight.T, 0 if bias is None else bias
    if weight.shape[0] == weight.shape[1]:
        says = "the weight is applied transposed: torch stores (out, in), Paddle (in, out)"
        yield Prediction("not transposed", says, case.place("weight"), [x @ weight + shift])
    if bias is not None:
        yield Prediction(*NO_BIAS, case.place("bias"), [product])
        yield Prediction(*TWO_BIASES, case.place("bias"), [product + 2 * bias])
        yield Prediction("bias subtracted", "its bias is taken off", case.place("bias"), [product - bias])
    for name in arithmetic.FOLLOWING:
        y = arithmetic.ACTIVATIONS[name](product + shift)
        yield Prediction("extra activation", f"an activation, {name}, follows it", case.place("forward"), [y])


def dropout(case: Case) -> Iterator[Prediction]:
    """Predict elements or samples that a dropout or drop path zeroes, and the others scaled."""
    if is_random(case.kind) or is_random(case.candidate_kind):
        yield from dropped(case)


def dropped(case: Case) -> Iterator[Prediction]:
    """Predict elements or samples that are zeroed anywhere, and the others scaled."""
    if not case.inputs or not case.found or case.inputs[0].shape != case.found[0].shape:
        return
    base, actual = case.expected[0], case.found[0]
    alive = actual != 0
    if alive.all() or not alive.any():
        return
    scale = ratio([base[alive]], [actual[alive]])
    if not scale >= 1:
        return
    rows = alive.reshape(len(actual), -1)
    whole = bool((rows.all(1) | ~rows.any(1)).all())
    name, what = ("drop path left on", "whole samples") if whole else ("dropout left on", "elements")
    others = f", and the others multiplied by {scale:.4g}" if f"{scale:.4g}" != "1" else ""
    says = f"{what} are dropped, {1 - float(alive.mean()):.0%} here{others}"
    yield Prediction(name, says, case.place("training, and its rate"), [np.where(alive, base * scale, 0)])


LAYER_HYPOTHESES = (
    *(layer_norm, batch_norm, grouped_norm, running_statistics, activation, linear, convolution, pooling),
    *(windows, dropout),
)
