"""Mistakes in single layers: norms, activations, products, dropout."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.backends.checks import is_random
from alignment.hypotheses import arithmetic
from alignment.hypotheses.activations import activation
from alignment.hypotheses.base import Case, Prediction, ratio
from alignment.hypotheses.batch_norms import batch_norm
from alignment.hypotheses.convolutions import NO_BIAS, TWO_BIASES, convolution
from alignment.hypotheses.norms import affine, grouped_norm, other_epsilons
from alignment.hypotheses.pooling import pooling, windows
from alignment.hypotheses.running_statistics import running_statistics


def layer_norm(case: Case) -> Iterator[Prediction]:
    """Predict another epsilon, another variance, a lost scale or shift."""
    if "LayerNorm" not in case.kind or len(case.inputs) != 1:
        return
    x = case.inputs[0]
    correct = float(case.settings.get("eps", case.settings.get("epsilon", 1e-5)))
    over = _normalised(case, x)
    count = math.prod(x.shape[axis] for axis in over)
    after = x.ndim - 2 if over == (1,) else 0

    def norm(eps: float, *, ddof: int = 0, centred: bool = True, **parts: bool) -> Array:
        middle = x - x.mean(over, keepdims=True) if centred else x
        variance = np.square(middle).sum(over, keepdims=True) / (count - ddof)
        return affine(case, middle / np.sqrt(variance + eps), axes=after, **parts)

    yield from other_epsilons(case, "layernorm eps", correct, norm)
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
