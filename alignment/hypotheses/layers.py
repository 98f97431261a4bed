"""Mistakes in single layers: norms, activations, products, convolutions, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses import arithmetic
from alignment.hypotheses.base import Case, Prediction, distance, limit_of, predictions

Run: TypeAlias = Callable[..., list[Array]]
_EPSILONS = (1e-5, 1e-6, 1e-3, 1e-12, 1e-8, 1e-7, 1e-4, 0.0)
_ACTIVATIONS = ("GELU", "ReLU", "SiLU", "Swish", "Sigmoid", "Tanh", "Hardswish", "Hardsigmoid", "LeakyReLU", "ReLU6")


def _single(case: Case) -> tuple[Array, Array, Array | None, Array | None]:
    x = case.inputs[0]
    return x, case.expected[0], case.parameters.get("weight"), case.parameters.get("bias")


def _place(case: Case, attribute: str) -> str:
    return f"{case.finding.candidate}: {attribute} of its {case.candidate_kind}"


def layer_norm(case: Case) -> Iterator[Prediction]:
    """Another epsilon, another variance, a lost scale or shift."""
    if "LayerNorm" not in case.kind or len(case.inputs) != 1:
        return
    x, _, weight, bias = _single(case)
    right = float(case.settings.get("eps", case.settings.get("epsilon", 1e-5)))

    def norm(eps: float, *, scaled: bool = True, shifted: bool = True, ddof: int = 0, centred: bool = True) -> Array:
        middle = x - x.mean(-1, keepdims=True) if centred else x
        variance = np.square(x - x.mean(-1, keepdims=True) if centred else x).sum(-1, keepdims=True)
        y = middle / np.sqrt(variance / (x.shape[-1] - ddof) + eps)
        y = y * weight if scaled and weight is not None else y
        result: Array = y + bias if shifted and bias is not None else y
        return result

    for eps in _EPSILONS:
        if eps != right:
            says = f"its epsilon is {eps:g}, not {right:g}"
            yield Prediction("layernorm eps", says, _place(case, "epsilon"), [norm(eps)])
    yield Prediction("bias lost", "its shift is not added", _place(case, "bias"), [norm(right, shifted=False)])
    yield Prediction("scale lost", "its scale is not applied", _place(case, "weight"), [norm(right, scaled=False)])
    plain = norm(right, scaled=False, shifted=False)
    yield Prediction("affine lost", "neither scale nor shift is applied", _place(case, "weight and bias"), [plain])
    says = "it divides by the unbiased variance"
    yield Prediction("unbiased variance", says, _place(case, "forward"), [norm(right, ddof=1)])
    says = "the mean is not taken off: it is an RMS norm"
    yield Prediction("rms norm", says, _place(case, "forward"), [norm(right, centred=False)])


def batch_norm(case: Case) -> Iterator[Prediction]:
    """Another epsilon, the statistics of the batch instead of the running ones, a lost scale or shift."""
    statistics = case.parameters.get("running_mean"), case.parameters.get("running_var")
    if "BatchNorm" not in case.kind or statistics[0] is None or case.finding.mode != "eval":
        return
    x, expected, weight, bias = _single(case)
    running: tuple[Array, Array] = (statistics[0], np.asarray(statistics[1]))
    right = float(case.settings.get("eps", 1e-5))

    def norm(eps: float, mean: Array, variance: Array, scaled: bool = True, shifted: bool = True) -> Array:
        columns = (slice(None), None, None)
        y = (x - mean[columns]) / np.sqrt(variance[columns] + eps)
        y = y * weight[columns] if scaled and weight is not None else y
        result: Array = y + bias[columns] if shifted and bias is not None else y
        return result

    after = _activation_after(expected, norm(right, *running), case)
    for eps in _EPSILONS:
        if eps != right:
            says = f"its epsilon is {eps:g}, not {right:g}"
            yield Prediction("batchnorm eps", says, _place(case, "epsilon"), [after(norm(eps, *running))])
    batch = x.mean((0, 2, 3)), x.var((0, 2, 3))
    says = "it takes the statistics of the batch: it is left in training mode"
    yield Prediction("train mode", says, _place(case, "training"), [after(norm(right, *batch))])
    swapped = after(norm(right, running[1], np.abs(running[0])))
    yield Prediction("statistics swapped", "mean and variance are exchanged", _place(case, "statistics"), [swapped])
    lost = after(norm(right, *running, shifted=False))
    yield Prediction("bias lost", "its shift is not added", _place(case, "bias"), [lost])
    lost = after(norm(right, *running, scaled=False))
    yield Prediction("scale lost", "its scale is not applied", _place(case, "weight"), [lost])


def _activation_after(expected: Array, y: Array, case: Case) -> Callable[[Array], Array]:
    """What follows the norm within the module: timm's have their ReLU inside."""
    for activation in (arithmetic.ACTIVATIONS["no activation"], arithmetic.relu, arithmetic.silu):
        if distance([expected], [activation(y)]) < limit_of(case):
            return activation
    return arithmetic.ACTIVATIONS["no activation"]


def running_statistics(case: Case) -> Iterator[Prediction]:
    """The running statistics after a batch: momentum, variance, or none at all."""
    names = [name.removeprefix("before/") for name in case.extra if name.startswith("before/running")]
    if not names or case.finding.mode != "train":
        return
    before, expected, found = (
        [case.extra[f"{what}/{name}"].astype(np.float64) for name in names] for what in ("before", "expected", "found")
    )
    new = [(after - 0.9 * old) / 0.1 for old, after in zip(before, expected, strict=True)]
    place = _place(case, "momentum")

    def predict(short: str, says: str, where: str, arrays: list[Array]) -> Prediction:
        return Prediction(short, says, where, arrays, expected, found)

    yield predict("statistics frozen", "the running statistics are not updated", place, before)
    for share in (0.9, 0.01, 0.99, 0.05, 0.5, 1.0, 0.001):
        moved = [(1 - share) * old + share * each for old, each in zip(before, new, strict=True)]
        says = f"a batch has a share of {share:g} in them, not 0.1: Paddle's momentum is one minus torch's"
        yield predict("batchnorm momentum", says, place, moved)
    for count in _counts(case):
        says = f"the running variance takes up the biased one, over {count} values"
        for kept in (0.9, float(np.float32(0.9))):  # Paddle's kernel holds its momentum in float32
            biased = [
                kept * old + (1 - kept) * each * ((count - 1) / count if "var" in name else 1)
                for name, old, each in zip(names, before, new, strict=True)
            ]
            yield predict("biased variance", says, _place(case, "forward, which keeps Paddle's own"), biased)


def _counts(case: Case) -> Iterator[int]:
    for array in case.inputs:
        if array.ndim == 4:
            for shrunk in (1, 2):
                yield array.shape[0] * math.ceil(array.shape[2] / shrunk) * math.ceil(array.shape[3] / shrunk)


def activation(case: Case) -> Iterator[Prediction]:
    """Another activation, or another form of the same."""
    if not any(word in case.kind for word in _ACTIVATIONS) or len(case.inputs) != 1:
        return
    for name, function in arithmetic.ACTIVATIONS.items():
        says = f"it is {name}, where the reference has {case.kind}"
        if name == "gelu tanh" and case.kind == "GELU":
            says = "GELU is approximated by tanh, where the reference has the exact one (erf)"
        with np.errstate(over="ignore"):
            yield Prediction(name, says, _place(case, "approximate, or the class"), [function(case.inputs[0])])


def linear(case: Case) -> Iterator[Prediction]:
    """A weight applied as it is stored elsewhere, a lost or doubled bias."""
    if case.kind != "Linear" or "weight" not in case.parameters:
        return
    x, _, weight, bias = _single(case)
    if weight is None:
        return
    product, shift = x @ weight.T, 0 if bias is None else bias
    if weight.shape[0] == weight.shape[1]:
        says = "the weight is applied transposed: torch stores (out, in), Paddle (in, out)"
        yield Prediction("not transposed", says, _place(case, "weight"), [x @ weight + shift])
    if bias is not None:
        yield Prediction("bias lost", "its bias is not added", _place(case, "bias"), [product])
        yield Prediction("bias doubled", "its bias is added twice", _place(case, "bias"), [product + 2 * bias])
        yield Prediction("bias subtracted", "its bias is taken off", _place(case, "bias"), [product - bias])
    for name in ("relu", "gelu erf", "gelu tanh", "silu"):
        says = f"an activation, {name}, follows it"
        yield Prediction(
            "extra activation", says, _place(case, "forward"), [arithmetic.ACTIVATIONS[name](product + shift)]
        )


def convolution(case: Case) -> Iterator[Prediction]:
    """Another stride, padding, kernel or bias."""
    weight = case.parameters.get("weight")
    if "Conv2d" not in case.kind or weight is None or len(case.inputs) != 1:
        return
    x, bias = case.inputs[0], case.parameters.get("bias")
    stride, padding, dilation = (_pair(case.settings.get(name)) for name in ("stride", "padding", "dilation"))
    stride, padding, dilation = stride or (1, 1), padding or (0, 0), dilation or (1, 1)
    groups = int(case.settings.get("groups", 1))

    def run(**changed: object) -> list[Array]:
        given = {"weight": weight, "bias": bias, "stride": stride, "padding": padding, "groups": groups}
        return [arithmetic.convolve(x, **{**given, "dilation": dilation, **changed})]

    parts = (lambda _: _kernels(case, run, weight, bias), lambda _: _windows(case, run, stride, padding))
    yield from predictions(parts, case)


def _kernels(case: Case, run: Run, weight: Array, bias: Array | None) -> Iterator[Prediction]:
    if bias is not None:
        yield Prediction("bias lost", "its bias is not added", _place(case, "bias"), run(bias=None))
        yield Prediction("bias doubled", "its bias is added twice", _place(case, "bias"), run(bias=2 * bias))
    says = "its kernel is turned by 180 degrees"
    yield Prediction("kernel flipped", says, _place(case, "weight"), run(weight=weight[:, :, ::-1, ::-1]))
    if weight.shape[2] == weight.shape[3]:
        says = "rows and columns of its kernel are exchanged"
        yield Prediction("rows and columns swapped", says, _place(case, "weight"), run(weight=weight.swapaxes(2, 3)))
    if weight.shape[1] == 3:
        says = "the input channels are in reverse order"
        yield Prediction("channel order", says, _place(case, "weight"), run(weight=weight[:, ::-1]))


def _windows(case: Case, run: Run, stride: tuple[int, int], padding: tuple[int, int]) -> Iterator[Prediction]:
    x, weight = case.inputs[0], case.parameters["weight"]
    for other in ((0, 0), (1, 1), (2, 2), (3, 3)):
        if other != padding and _fits(x, weight, other):
            says = f"its padding is {other[0]}, not {padding[0]}"
            yield Prediction("padding", says, _place(case, "padding"), run(padding=other))
    for name, mode in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        if padding > (0, 0):
            says = f"it pads by {name}, not with zeros"
            yield Prediction("padding mode", says, _place(case, "padding_mode"), run(mode=mode))
    for each in (1, 2, 4, 8, 16):
        if (each, each) != stride:
            says = f"its stride is {each}, not {stride[0]}"
            yield Prediction("stride", says, _place(case, "stride"), run(stride=(each, each)))
    yield Prediction(
        "stride phase", "its windows start one pixel later", _place(case, "padding"), _late(run, x, padding)
    )


def _late(run: Run, x: Array, padding: tuple[int, int]) -> list[Array]:
    """The same convolution over the image moved by a pixel; empty where there is no room."""
    if padding == (0, 0) or min(x.shape[2:]) < 2:
        return []
    moved = run(padding=(padding[0] + 1, padding[1] + 1), stride=(1, 1))[0]
    whole = run()[0]
    step = max(1, round(x.shape[2] / whole.shape[2]))
    return [moved[:, :, 2::step, 2::step][:, :, : whole.shape[2], : whole.shape[3]]]


def _pair(value: object) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) and len(value) == 2 else None


def _fits(x: Array, weight: Array, padding: tuple[int, int]) -> bool:
    return all(
        size + 2 * pad >= kernel for size, pad, kernel in zip(x.shape[2:], padding, weight.shape[2:], strict=True)
    )


def pooling(case: Case) -> Iterator[Prediction]:
    """A pooling over whole maps of another kind."""
    if (
        len(case.inputs) != 1
        or case.inputs[0].ndim != 4
        or case.expected[0].size != math.prod(case.inputs[0].shape[:2])
    ):
        return
    x, shape = case.inputs[0], case.expected[0].shape
    place, mean = _place(case, "forward, or the kind of pooling"), x.mean((2, 3))
    for name, says, values in (
        ("pooling", "it takes the largest value of a map, not the mean", x.max((2, 3))),
        ("pooling", "it takes the mean of a map, not the largest value", mean),
        ("pooling", "it adds up a map, and does not divide", x.sum((2, 3))),
        ("pooling", "it takes the mean of mean and largest value", (mean + x.max((2, 3))) / 2),
        ("pooling", "it takes the first value of a map: nothing is pooled", x[:, :, 0, 0]),
    ):
        yield Prediction(name, says, place, [values.reshape(shape)])


def dropout(case: Case) -> Iterator[Prediction]:
    """Elements or samples that are zeroed, and the others scaled."""
    if not case.inputs or not case.found or case.inputs[0].shape != case.found[0].shape:
        return
    x, found = case.inputs[0], case.found[0]
    base = case.expected[0]
    alive = found != 0
    if alive.all() or not alive.any():
        return
    scale = float(np.vdot(base[alive], found[alive]) / max(np.vdot(base[alive], base[alive]), 1e-300))
    if not scale >= 1:
        return
    rows = alive.reshape(len(x), -1)
    whole = bool((rows.all(1) | ~rows.any(1)).all())
    name = "drop path left on" if whole else "dropout left on"
    dropped = 1 - float(alive.mean())
    what = "whole samples" if whole else "elements"
    says = f"{what} are dropped, {dropped:.0%} here, and the others multiplied by {scale:.4g}"
    yield Prediction(name, says, _place(case, "training, and its rate"), [np.where(alive, base * scale, 0)])


LAYER_HYPOTHESES = (layer_norm, batch_norm, running_statistics, activation, linear, convolution, pooling, dropout)
