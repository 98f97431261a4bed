"""Other arguments of functions: another axis, epsilon, form or side."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.arithmetic import ACTIVATIONS, softmax
from alignment.hypotheses.calls.sites import Alternative, Table
from alignment.hypotheses.norms import EPSILONS

_ACTIVATION_OF = {
    "gelu": "gelu erf",
    "hardswish": "hard swish",
    "hardsigmoid": "hard sigmoid",
    "leaky_relu": "leaky relu",
    "swish": "silu",
}
_FORMS = {
    "gelu erf": "the exact GELU (erf): pass approximate=False",
    "gelu tanh": "the GELU that is approximated by tanh: pass approximate=True",
    "no activation": "no activation",
}
_DEFAULT_EPS = 1e-12
_SLOPES = (0.01, 0.1, 0.2, 0.3, 0.25, 0.05)


def _own_axis(call: FunctionCall, default: int) -> int:
    return int(call.number("axis", default)) % max(1, len(call.takes[0]))


def _softmax(call: FunctionCall) -> Iterator[Alternative]:
    own = _own_axis(call, -1)
    for axis in reversed(range(len(call.takes[0]))):
        if axis != own:

            def along(given: Sequence[Array], _: Sequence[Array], axis: int = axis) -> list[Array]:
                result = softmax(given[0], axis)
                return [np.log(result) if call.name == "log_softmax" else result]

            says = f"its {call.name} runs over axis {own}, not {axis}: pass axis={axis - len(call.takes[0])}"
            yield Alternative("softmax axis", says, along)


def _activation(call: FunctionCall) -> Iterator[Alternative]:
    own = _ACTIVATION_OF.get(call.name, call.name)
    if call.name == "gelu" and call.setting("approximate", "none") not in ("none", "False"):
        own = "gelu tanh"
    for other, function in ACTIVATIONS.items():
        if other != own:
            says = f"it computes {own} where the reference computes {_FORMS.get(other, other)}"
            yield Alternative(other, says, lambda given, _, function=function: [function(given[0])])


_BOUNDS = (*((-bound, bound) for bound in (1.0, 2.0, 3.0, 5.0, 6.0, 10.0, 20.0)), (0.0, 1.0), (0.0, 6.0))
_SAME_SLOPE = 1e-6
"""Difference of two slopes of a hard sigmoid that are written with few digits: 0.1666667 is 1 / 6."""


def _leaky(call: FunctionCall) -> Iterator[Alternative]:
    own = call.number("negative_slope", 0.01)
    for slope in _SLOPES:
        if slope != own:
            says = f"its negative_slope is {own:g}, not {slope:g}: pass negative_slope={slope:g}"
            yield Alternative(
                "activation parameter",
                says,
                lambda given, _, slope=slope: [np.where(given[0] > 0, *_two(given, slope))],
            )


def _two(given: Sequence[Array], slope: float) -> tuple[Array, Array]:
    return given[0], slope * given[0]


def _normalize(call: FunctionCall) -> Iterator[Alternative]:
    own_axis, own_eps, power = _own_axis(call, 1), call.number("epsilon", 1e-12), call.number("p", 2)

    def normed(x: Array, axis: int, eps: float, p: float) -> Array:
        norm = np.sum(np.abs(x) ** p, axis, keepdims=True) ** (1 / p)
        return np.asarray(x / np.maximum(norm, eps))

    for axis in range(len(call.takes[0])):
        if axis != own_axis:
            says = f"it normalises over axis {own_axis}, not {axis}: pass axis={axis - len(call.takes[0])}"
            yield Alternative(
                "normalisation axis", says, lambda given, _, axis=axis: [normed(given[0], axis, own_eps, power)]
            )
    for eps in dict.fromkeys((_DEFAULT_EPS, *EPSILONS)):
        if eps != own_eps:
            says = f"the epsilon of its normalize is {own_eps:g}, not {eps:g}: pass epsilon={eps:g}"
            says += " (one that is below all norms of these inputs does the same)" if eps == _DEFAULT_EPS else ""
            yield Alternative("normalize eps", says, lambda given, _, eps=eps: [normed(given[0], own_axis, eps, power)])
    for p in (1.0, 2.0):
        if p != power:
            says = f"it normalises by the norm of order {power:g}, not {p:g}: pass p={p:g}"
            yield Alternative("norm order", says, lambda given, _, p=p: [normed(given[0], own_axis, own_eps, p)])


def _layer_norm(call: FunctionCall) -> Iterator[Alternative]:
    text = call.setting("normalized_shape", "[]")
    count = text.count(",") + 1 if "[" in text or "(" in text else 1
    own = call.number("epsilon", 1e-5)

    def normed(given: Sequence[Array], axes: tuple[int, ...], eps: float) -> list[Array]:
        x = given[0]
        middle = x - x.mean(axes, keepdims=True)
        y = middle / np.sqrt(np.square(middle).mean(axes, keepdims=True) + eps)
        y = y * given[1] if len(given) > 1 else y
        return [y + given[2] if len(given) > 2 else y]

    last = tuple(range(-count, 0))
    for eps in EPSILONS:
        if eps != own:
            says = f"the epsilon of its layer_norm is {own:g}, not {eps:g}: pass epsilon={eps:g}"
            yield Alternative("layernorm eps", says, lambda given, _, eps=eps: normed(given, last, eps))
    for axes in range(1, len(call.takes[0])):
        if axes != count and len(call.takes) == 1:
            says = f"it normalises over the last {count} axes, not the last {axes}"
            yield Alternative(
                "normalisation axis", says, lambda given, _, axes=axes: normed(given, tuple(range(-axes, 0)), own)
            )


def _deviation(call: FunctionCall) -> Iterator[Alternative]:
    taken, given_back = (int(np.prod(shapes[0])) for shapes in (call.takes, call.gives))
    count = taken // max(1, given_back)
    if count < 2:
        return
    power = 0.5 if call.name == "std" else 1.0
    for factor, own, other, flag in (
        ((count - 1) / count, "unbiased", "biased", False),
        (count / (count - 1), "biased", "unbiased", True),
    ):
        says = f"its {call.name} is the {own} one, not the {other}: pass unbiased={flag}"
        yield Alternative(f"{own} {call.name}", says, lambda _, returned, factor=factor: [returned[0] * factor**power])


def _dropout(call: FunctionCall) -> Iterator[Alternative]:
    rate, downscaled = call.number("p", 0.5), "downscale_in_infer" in call.setting("mode")
    says = f"a dropout of {rate:g} that is called as a function stays on: pass training=self.training"
    if downscaled:
        says = (
            f"its dropout of {rate:g} multiplies by {1 - rate:g} in evaluation: leave mode='downscale_in_infer' out, "
            "with which training does not divide by that"
        )
    yield Alternative("dropout mode" if downscaled else "dropout left on", says, lambda given, _: [given[0]])


def _hardtanh(call: FunctionCall) -> Iterator[Alternative]:
    own = call.number("min", -1.0), call.number("max", 1.0)
    for low, high in _BOUNDS:
        if (low, high) != own:
            says = f"the bounds of its hardtanh are {own[0]:g} and {own[1]:g}: pass min={low:g}, max={high:g}"
            yield Alternative(
                "activation parameter", says, lambda given, _, low=low, high=high: [np.clip(given[0], low, high)]
            )


def _hardsigmoid(call: FunctionCall) -> Iterator[Alternative]:
    own, offset = call.number("slope", 1 / 6), call.number("offset", 0.5)
    for slope, words in ((1 / 6, "1 / 6, as torch's is: pass slope=1 / 6"), (0.2, "0.2: pass slope=0.2")):
        if abs(slope - own) > _SAME_SLOPE:
            yield Alternative(
                "activation parameter",
                f"the slope of its hardsigmoid is {own:.6g}, not {words}",
                lambda given, _, slope=slope: [np.clip(slope * given[0] + offset, 0, 1)],
            )


def _triangle(call: FunctionCall) -> Iterator[Alternative]:
    own = int(call.number("diagonal", 0))
    cut = np.triu if call.name == "triu" else np.tril
    for other in (own + 1, own - 1):
        says = f"the mask is off by one: its {call.name} has diagonal={own}, not {other}: pass diagonal={other}"
        yield Alternative("causal mask", says, lambda given, _, other=other: [cut(given[0], other)])


_STRICT = {
    "greater_equal": ("greater_than", ">=", ">"),
    "greater_than": ("greater_equal", ">", ">="),
    "less_equal": ("less_than", "<=", "<"),
    "less_than": ("less_equal", "<", "<="),
}


def _comparison(call: FunctionCall) -> Iterator[Alternative]:
    _, own, other = _STRICT[call.name]
    scalar = next((call.number(name, np.nan) for name in ("y", "other", "axis") if call.setting(name)), np.nan)

    def compared(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
        equal = given[0] == (given[1] if len(given) > 1 else scalar)
        return [returned[0] & ~equal if "=" in own else returned[0] | equal]

    yield Alternative("causal mask", f"the comparison is off by one: it is {own}, not {other}: write {other}", compared)


def _arange(call: FunctionCall) -> Iterator[Alternative]:
    for shift in (1, -1, 2, -2):
        says = f"the positions are off by {-shift:+d}: begin them {abs(shift)} {'later' if shift > 0 else 'earlier'}"
        yield Alternative("positions moved", says, lambda _, returned, shift=shift: [returned[0] + shift])


def _linspace(call: FunctionCall) -> Iterator[Alternative]:
    """Predict numbers that go from one to another in equal steps, with other ends."""
    count = math.prod(call.gives[0]) if len(call.gives) == 1 else 0
    if count < 2:
        return

    def put(first: float, last: float) -> Callable[[Sequence[Array], Sequence[Array]], list[Array]]:
        """As many numbers with their ends moved inwards by these shares of their step."""

        def answer(_: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
            low, high = float(returned[0][0]), float(returned[0][-1])
            step = (high - low) / (count - 1 + max(first, 0) + max(last, 0))
            return [np.linspace(low + first * step, high - last * step, count, dtype=returned[0].dtype)]

        return answer

    for first, last, says in (
        (0.5, 0.5, f"its linspace holds both ends, where the centres of {count} equal parts are meant"),
        (-0.5, -0.5, f"its linspace holds the centres of {count} equal parts, where both ends are meant"),
        (0.0, 1.0, "its linspace holds the last number, where it ends one step before that"),
        (0.0, -1.0, "its linspace ends one step before the last number, where it is to hold that"),
    ):
        yield Alternative("ends of a range", says, put(first, last))
    for factor in (2.0, 0.5, 4.0, 0.25, 10.0, 0.1):
        says = f"its linspace ends at a number that is to be multiplied by {factor:g}"

        def ends(_: Sequence[Array], returned: Sequence[Array], factor: float = factor) -> list[Array]:
            numbers = returned[0]
            return [np.linspace(numbers[0], factor * numbers[-1], count, dtype=numbers.dtype)]

        yield Alternative("end of a range", says, ends)


def _roll(call: FunctionCall) -> Iterator[Alternative]:
    shifts, axes = (ast.literal_eval(call.setting(name, "None")) for name in ("shifts", "axis"))
    if shifts is not None:
        other = tuple(-shift for shift in shifts) if isinstance(shifts, tuple | list) else -shifts
        says = f"it rolls by {shifts}, not {other}: pass shifts={other}"
        yield Alternative("roll direction", says, lambda given, _: [np.roll(given[0], other, axes)])


ARGUMENTS: Table = {
    **dict.fromkeys(("softmax", "log_softmax"), (_softmax,)),
    **dict.fromkeys((*("gelu", "relu", "relu6", "silu", "swish", "hardswish", "sigmoid", "tanh"),), (_activation,)),
    "leaky_relu": (_leaky, _activation),
    "normalize": (_normalize,),
    "layer_norm": (_layer_norm,),
    **dict.fromkeys(("std", "var"), (_deviation,)),
    "dropout": (_dropout,),
    "hardtanh": (_hardtanh,),
    "hardsigmoid": (_hardsigmoid, _activation),
    **dict.fromkeys(("triu", "tril"), (_triangle,)),
    **dict.fromkeys(_STRICT, (_comparison,)),
    "arange": (_arange,),
    "linspace": (_linspace,),
    "roll": (_roll,),
}
"""Name of a function to its calls with other arguments."""
