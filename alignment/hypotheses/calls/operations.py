"""Operations that are one too many, one too few, or that have a bound or a base of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.arithmetic import ACTIVATIONS, sigmoid, softmax
from alignment.hypotheses.calls.sites import Alternative, Table

_ELEMENTWISE: Mapping[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": ACTIVATIONS["relu"],
    "silu": ACTIVATIONS["silu"],
    "gelu": ACTIVATIONS["gelu erf"],
    "gelu approximated by tanh": ACTIVATIONS["gelu tanh"],
    "sqrt": np.sqrt,
    "square": np.square,
    "exp": np.exp,
    "log": np.log,
    "softplus": lambda x: np.logaddexp(0, x),
    "negative": np.negative,
    "reciprocal": np.reciprocal,
}
_BASES: Mapping[str, Callable[[Array], Array]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
}
_POWERS: Mapping[str, Callable[[Array], Array]] = {"exp": np.exp, "exp2": np.exp2, "expm1": np.expm1}
_ROOTS: Mapping[str, Callable[[Array], Array]] = {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "reciprocal": np.reciprocal,
}
_POWER_BASES = (10_000.0, 500_000.0, 1_000_000.0, 100_000.0, 1000.0, 100.0, 20.0, 10.0, 2.0, float(np.e))
"""Bases of positions that turn, and others."""
_EXPONENTS = (2.0, 3.0, 0.5, -0.5, 1.5, 4.0, -1.0, 0.25, 0.75)
_Others: TypeAlias = Callable[[FunctionCall], Iterator[Alternative]]
_FACTORS = ("tanh", "sigmoid", "relu", "silu", "gelu", "gelu approximated by tanh", "softplus", "exp")
_AFTER = (
    *("sum", "mean", "matmul", "linear", "convolution", "conv2d", "add", "subtract", "multiply", "divide", "softmax"),
    "var",
)
_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
_OPERATORS: Mapping[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
}


def _left_out(call: FunctionCall) -> Iterator[Alternative]:
    """Predict that what a function is given is meant, and not what it makes of it."""
    for index, shape in enumerate(call.takes):
        if len(call.gives) == 1 and shape == call.gives[0] and index < 2:
            what = call.name
            if call.name in _SYMBOLS:
                side = f"{'left' if index == 0 else 'right'} side" if len(call.takes) > 1 else "tensor"
                what = f"'{_SYMBOLS[call.name]}', of which only the {side} is meant,"
            says = f"its {what} is one too many: leave it out"
            yield Alternative("one too many", says, lambda given, _, index=index: [given[index]])


def _other_operator(call: FunctionCall) -> Iterator[Alternative]:
    """Predict another operator of the same two sides."""
    if len(call.takes) != 2:
        return
    for other, function in _OPERATORS.items():
        if other != call.name:
            says = f"it computes a '{_SYMBOLS[call.name]}' where the reference has a '{_SYMBOLS[other]}'"
            yield Alternative("operator", says, lambda given, _, function=function: [function(*given)])


def _family(table: Mapping[str, Callable[[Array], Array]]) -> Callable[[FunctionCall], Iterator[Alternative]]:
    def others(call: FunctionCall) -> Iterator[Alternative]:
        for other, function in table.items():
            if other != call.name:
                says = f"it computes {call.name} where the reference computes {other}"
                yield Alternative(other, says, lambda given, _, function=function: [function(given[0])])

    return others


def _clip(call: FunctionCall) -> Iterator[Alternative]:
    """Predict bounds of which one or both cut off what the reference keeps."""
    lower, upper = (call.number(name, np.nan) for name in ("min", "max"))
    if np.isnan(lower) and np.isnan(upper):
        yield from _left_out(call)
    for low, high, words, bounds in (
        (-np.inf, upper, f"lower bound, {lower:g}, cuts off what the reference keeps: widen it", [lower]),
        (lower, np.inf, f"upper bound, {upper:g}, cuts off what the reference keeps: widen it", [upper]),
        (
            -np.inf,
            np.inf,
            f"bounds, {lower:g} and {upper:g}, cut off what the reference keeps: widen them",
            [lower, upper],
        ),
    ):
        if not np.isnan(bounds).any():
            says = f"its {words}, or leave {'it' if len(bounds) == 1 else 'them'} out"

            def answer(given: Sequence[Array], _: Sequence[Array], low: float = low, high: float = high) -> list[Array]:
                kept = given[0] if np.isnan(low) else np.maximum(given[0], low)
                return [kept if np.isnan(high) else np.minimum(kept, high)]

            yield Alternative("bound", says, answer)


def _function_after(call: FunctionCall) -> Iterator[Alternative]:
    """Predict a function of what a call gives that the candidate leaves out."""
    for name, function in _ELEMENTWISE.items():
        says = f"{name} of what its {call.name} gives is meant, not that itself"
        yield Alternative("function left out", says, lambda _, returned, function=function: [function(returned[0])])


def _normalised_after(call: FunctionCall) -> Iterator[Alternative]:
    """Predict what a call gives, divided by its norm or made a softmax along an axis."""
    rank = len(call.gives[0]) if len(call.gives) == 1 else 0
    for axis in range(rank - 1, 0 if rank > 1 else -1, -1):
        short = axis - rank
        for what, function in (
            (
                f"normalised: divided by its norm over axis {short}",
                lambda x, axis: x / np.linalg.norm(x, axis=axis, keepdims=True),
            ),
            (f"given to a softmax over axis {short}", softmax),
        ):
            says = f"what its {call.name} gives is to be {what}"
            yield Alternative(
                "normalisation left out",
                says,
                lambda _, returned, axis=axis, function=function: [function(returned[0], axis)],
            )


def _function_of_factor(call: FunctionCall) -> Iterator[Alternative]:
    """Predict a product of which one factor should have gone through a function."""
    if len(call.takes) != 2:
        return
    for index, side in enumerate(("left", "right")):
        for name in _FACTORS:
            says = f"{name} of the {side} factor of its product is meant, not that itself"

            def answer(given: Sequence[Array], _: Sequence[Array], index: int = index, name: str = name) -> list[Array]:
                factors = [_ELEMENTWISE[name](array) if at == index else array for at, array in enumerate(given)]
                return [factors[0] * factors[1]]

            yield Alternative("function left out", says, answer)


def _flip(call: FunctionCall) -> Iterator[Alternative]:
    says = f"its {call.name} is one too many: leave it out"
    yield Alternative("one too many", says, lambda given, _: [given[0]])


def _to_sigmoid(call: FunctionCall) -> Iterator[Alternative]:
    for name in ("sigmoid", "relu"):
        says = f"it computes {call.name} where the reference computes {name}"
        yield Alternative(name, says, lambda given, _, name=name: [_ELEMENTWISE[name](given[0])])


def _powers(numbers: Sequence[float], says: str, power: Callable[[Array, float], Array]) -> _Others:
    """Predict another number in a power, as base or as exponent."""

    def others(call: FunctionCall) -> Iterator[Alternative]:
        own = call.number("number", np.nan)
        for number in numbers if np.isfinite(own) else ():
            if number != own:
                sentence = says.format(own=own, number=number)
                yield Alternative("power", sentence, lambda given, _, number=number: [power(given[0], number)])

    return others


OPERATIONS: Table = {
    **dict.fromkeys(_SYMBOLS, (_left_out, _other_operator)),
    **dict.fromkeys(_BASES, (_family(_BASES), _left_out)),
    **dict.fromkeys(_POWERS, (_family(_POWERS), _left_out)),
    **dict.fromkeys(("sqrt", "rsqrt", "square"), (_family(_ROOTS), _left_out)),
    "clip": (_clip,),
    "rpow": (_powers(_POWER_BASES, "the base of its power is {own:g}, not {number:g}", lambda x, base: base**x),),
    "pow": (
        _powers(_EXPONENTS, "the exponent of its power is {own:g}, not {number:g}", np.power),
        _left_out,
    ),
    "flip": (_flip,),
    "normalize": (_left_out,),
    "layer_norm": (_left_out,),
    **dict.fromkeys(("softmax", "log_softmax"), (_to_sigmoid, _left_out)),
}
"""Name of a function to its calls with another function in its place, or with none."""
AFTER = (_function_after, _normalised_after)
"""Functions of what a call gives that the candidate leaves out."""
MISSING: Table = {
    **dict.fromkeys(_AFTER, AFTER),
    "multiply": (_function_of_factor, *AFTER),
}
"""Name of a function to its calls around which a function is left out."""
