"""A factor or a summand that is left out or one too many: its value is fitted, and has to explain all elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.base import FITTED, Case, Prediction
from alignment.hypotheses.bench import Bench, ends
from alignment.hypotheses.calls.sites import Alternative, attempted, groups, where

_SITES = (
    *(
        "matmul",
        "bmm",
        "einsum",
        "linear",
        "convolution",
        "conv1d",
        "conv2d",
        "conv2d_transpose",
        "embedding",
        "mean",
        "sum",
    ),
    *("add", "subtract", "multiply", "divide", "exp", "sqrt", "rsqrt", "sigmoid", "tanh", "softmax", "var", "norm"),
    *("softplus", "gelu", "silu", "relu", "leaky_relu", "layer_norm", "log", "concat", "full"),
)
_CAPPED = ("linear", "matmul", "multiply", "divide", "add", "convolution")
_Change: TypeAlias = Callable[[Array, Array, float], Array]
"""What a function would have returned, of what it was given, what it returned, and a number."""
_NUMBERS: Mapping[str, tuple[tuple[str, float, Callable[[FunctionCall], _Change]], ...]] = {
    "clip": (
        ("min", np.nan, lambda call: lambda x, _, low: np.clip(x, low, _bound(call, "max"))),
        ("max", np.nan, lambda call: lambda x, _, high: np.clip(x, _bound(call, "min"), high)),
    ),
    "softplus": (("beta", 1.0, lambda _: lambda x, __, beta: np.logaddexp(0, beta * x) / beta),),
    "leaky_relu": (("negative_slope", 0.01, lambda _: lambda x, __, slope: np.where(x > 0, x, slope * x)),),
    "elu": (("alpha", 1.0, lambda _: lambda x, __, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))),),
}
"""Function to the numbers that it is given: the name, the default, and what it returns with another one."""
_FIRST = 1e-3
_ROUNDS = 12
_HALVINGS = 3
_LESS = 0.9
_NEAR = 1e-7
_LARGEST = 50.0
"""Logarithm of the largest number whose logarithm somebody may have written."""


def fitted(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what a module gives with the result of one of its functions multiplied, or something added to it.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    pairs = list(zip(case.expected, case.found, strict=False))
    if not pairs or any(a.shape != b.shape or a.dtype.kind != "f" for a, b in pairs):
        return
    differing = sum(np.count_nonzero(np.abs(a - b) > case.limit * np.abs(a).max(initial=0.0)) for a, b in pairs)
    if differing < 2 * FITTED or not all(np.isfinite(array).all() for pair in pairs for array in pair):
        return
    yield from _parameters(case, bench)
    yield from _caps(case, bench)
    for calls in groups([call for call in bench.calls if call.name in _SITES and len(call.gives) == 1]):
        for start, change, words in (
            (1.0, lambda _, returned, value: returned * value, _factor),
            (0.0, lambda _, returned, value: returned + value, _summand),
        ):
            solution = _solved(case, bench, calls, start, change)
            if solution is not None and abs(solution[0] - start) > _NEAR and _is_chosen(solution[0]):
                value, outputs = solution
                says = words(calls[0].name, value)
                yield Prediction("constant left out", says, where(case, calls), outputs, case.found, case.expected)


def _parameters(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what a module gives with another value of a number that one of its functions is given."""
    for calls in groups([call for call in bench.calls if call.name in _NUMBERS]):
        for name, default, change in _NUMBERS[calls[0].name]:
            own = calls[0].number(name, default)
            solution = _solved(case, bench, calls, own, change(calls[0])) if np.isfinite(own) else None
            if solution is not None and abs(solution[0] - own) > _NEAR:
                value, outputs = solution
                says = f"the {name} of its {calls[0].name} is {own:g}, not {_number(value)}: pass {name}={value:.8g}"
                yield Prediction("number", says, where(case, calls), outputs, case.found, case.expected)


def _caps(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what a module gives with a soft cap, `c * tanh(x / c)`, that is missing or that has another number."""

    def capped(_: Array, returned: Array, square: float) -> Array:  # of 1 / c, in which tanh has a slope at zero
        inverse = math.sqrt(max(square, 0.0))
        return np.tanh(inverse * returned) / inverse if inverse else returned

    def other(x: Array, _: Array, share: float) -> Array:
        return np.tanh(share * x) / share

    known = [call for call in (*bench.calls, *ends(bench)) if len(call.gives) == 1 and call.gives[0]]
    for calls in groups([call for call in known if call.name == "tanh"]):
        solution = _solved(case, bench, calls, 1.0, other)
        if solution is not None and abs(solution[0] - 1) > _NEAR and _is_chosen(solution[0]):
            by = (
                f"divided by {_number(solution[0])}" if solution[0] > 1 else f"multiplied by {_number(1 / solution[0])}"
            )
            says = f"the c of its c * tanh(x / c) is to be {by}"
            yield Prediction("soft cap", says, where(case, calls), solution[1], case.found, case.expected)
    for calls in groups([call for call in known if call.name in _CAPPED]):
        solution = _solved(case, bench, calls, 0.0, capped)
        if solution is not None and solution[0] > _NEAR and _is_chosen(math.sqrt(solution[0])):
            cap = _number(1 / math.sqrt(solution[0]))
            says = f"what its {calls[0].name} gives is to be capped: {cap} * tanh(x / {cap})"
            yield Prediction("soft cap", says, where(case, calls), solution[1], case.found, case.expected)


class _Line:
    """What a module gives, by the number that one of its functions is changed by.

    Args:
        case: The finding.
        bench: The module.
        calls: The calls of the function.
        change: What the function returns, by the number.
    """

    def __init__(self, case: Case, bench: Bench, calls: Sequence[FunctionCall], change: _Change) -> None:
        self.goal, self._bench, self._calls, self._change = _flat(case.expected), bench, calls, change
        self.outputs: Sequence[Array] = ()

    def at(self, value: float) -> Array | None:
        """What the module gives, as one vector; None where it fails, gives no numbers, or nothing else.

        Raises:
            OutOfTimeError: The time for trials is over.
        """

        def answer(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
            first = given[0] if given else returned[0]
            return [self._change(first, returned[0], value).astype(returned[0].dtype)]

        result = attempted(self._bench, self._calls, Alternative("", "", answer))
        flat = None if result is None else _flat(result.outputs)
        if result is None or flat is None or flat.shape != self.goal.shape or not np.isfinite(flat).all():
            return None
        self.outputs = result.outputs
        return flat

    def apart(self, vector: Array) -> float:
        """Distance of what the module gives from what it should."""
        return float(np.linalg.norm(self.goal - vector))


def _solved(
    case: Case, bench: Bench, calls: Sequence[FunctionCall], start: float, change: _Change
) -> tuple[float, Sequence[Array]] | None:
    """The value with which the module gives what the reference's gives, by steps of Gauss and Newton; None if none."""
    line, best = _Line(case, bench, calls, change), _flat(case.found)
    probe = line.at(start + _FIRST)
    if probe is None:
        return None
    value, slope, error = start, (probe - best) / _FIRST, line.apart(best)
    for number in range(_ROUNDS):
        power = float(slope @ slope)
        step = float(slope @ (line.goal - best)) / power if power else 0.0
        step, after = _nearer(line, value, step, error)
        if after is None:
            return None
        slope, before = (after - best) / step, error
        value, best, error = value + step, after, line.apart(after)
        if error <= case.limit * float(np.linalg.norm(line.goal)):
            return value, line.outputs
        if error > _LESS * before and number:
            return None
    return None


def _nearer(line: _Line, value: float, step: float, error: float) -> tuple[float, Array | None]:
    """A step, halved until the module gives something nearer to what it should, and that; None if nothing is."""
    for _ in range(_HALVINGS if step else 0):
        after = line.at(value + step)
        if after is not None and line.apart(after) < error:
            return step, after
        step /= 2
    return step, None


def _bound(call: FunctionCall, name: str) -> float | None:
    bound = call.number(name, np.nan)
    return None if np.isnan(bound) else bound


def _flat(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])


def _factor(name: str, value: float) -> str:
    if abs(value) < _NEAR:
        return f"what its {name} gives is one too many: leave it out"
    if abs(value + 1) < _NEAR:
        return f"what its {name} gives has the wrong sign: negate it"
    if abs(value) < 1:
        return f"what its {name} gives is to be divided by {_number(1 / value)}"
    return f"what its {name} gives is to be multiplied by {_number(value)}"


def _summand(name: str, value: float) -> str:
    if value < 0:
        return f"{_number(-value)} is to be taken off what its {name} gives"
    return f"{_number(value)} is to be added to what its {name} gives"


def _is_chosen(value: float) -> bool:
    """True for a number that somebody may have written: any other one only happens to fit these weights and inputs."""
    if abs(value) < _NEAR:
        return True
    square = value * value
    forms = (1 / value, square, math.exp(value) if value < _LARGEST else 0.0, value / math.pi, square * math.pi)
    return _is_short(value, 5) or any(_is_short(one, 4) for one in forms)


def _is_short(value: float, digits: int) -> bool:
    return abs(value - float(f"{value:.{digits}g}")) <= _NEAR * abs(value)


def _number(value: float) -> str:
    """A number as a person writes it: a whole one, a short decimal, a fraction, a root."""
    fraction = Fraction(value).limit_denominator(12)
    root = round(value * value)
    if abs(value - round(value, 3)) < _NEAR * abs(value):
        return f"{round(value, 3):g}"
    if abs(value - float(fraction)) < _NEAR * abs(value):
        return str(fraction)
    if 1 < root < 10_000 and abs(abs(value) - math.sqrt(root)) < _NEAR * abs(value):
        return f"{'-' if value < 0 else ''}sqrt({root})"
    inverse = round(1 / value, 3)
    if inverse and abs(1 / value - inverse) < _NEAR * abs(1 / value):
        return f"1 / {inverse:g}"
    return f"{value:.8g}"
