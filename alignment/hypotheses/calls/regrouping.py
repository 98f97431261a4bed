"""Two operations in another order: a factor that belongs to one part of a sum, an activation of a product's part.

Each call of an operation is answered with what it would have given if the operation that made one of its operands came
after it, or went to another operand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import Answer, Arrays, FunctionCall
from alignment.hypotheses.arithmetic import ACTIVATIONS, sigmoid
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Bench
from alignment.hypotheses.calls.sites import outcome, where

_BINARY: Mapping[str, tuple[str, Callable[[Array, Array], Array]]] = {
    "add": ("+", np.add),
    "subtract": ("-", np.subtract),
    "multiply": ("*", np.multiply),
    "divide": ("/", np.divide),
}
_UNARY: Mapping[str, Callable[[Array], Array]] = {
    **{name: ACTIVATIONS[name] for name in ("relu", "silu", "tanh", "relu6")},
    "gelu": ACTIVATIONS["gelu erf"],
    "swish": ACTIVATIONS["silu"],
    "sigmoid": sigmoid,
    "sqrt": np.sqrt,
    "square": np.square,
    "exp": np.exp,
    "log": np.log,
    "softplus": lambda x: np.logaddexp(0, x),
}
_MOST = 64
"""Pairs of operations that are tried."""
_Place: TypeAlias = tuple[str, str, tuple[int, ...]]
_Operands: TypeAlias = Sequence[Array]
T = TypeVar("T")


@dataclass(frozen=True)
class Joint:
    """An operation one of whose operands another one made.

    Attributes:
        outer: The call.
        inner: The call that made the operand.
        at: Place of the operand.
    """

    outer: FunctionCall
    inner: FunctionCall
    at: int


class _Made:
    """What operations have made in a run, with what they made it of."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[FunctionCall, _Operands]] = {}

    def note(self, call: FunctionCall, given: _Operands, returned: _Operands) -> None:
        self._of[_digest(returned[0])] = call, given

    def get(self, array: Array) -> tuple[FunctionCall, _Operands] | None:
        return self._of.get(_digest(array))


def regrouped(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what the module gives with two of its operations in another order.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    for joint in _joints(bench)[:_MOST]:
        for now, meant, formula in _ways(joint):
            result = outcome(bench, _answers(joint, formula))
            if result is not None:
                says = f"it computes {_bare(now)}, where {_bare(meant)} is meant"
                look_at = where(case, [joint.outer])
                yield Prediction("order of operations", says, look_at, result.outputs, case.found, case.expected)


def _joints(bench: Bench) -> list[Joint]:
    """Pairs of operations, one of which is given what the other gives, each place once."""
    made, joints = _Made(), dict[tuple[_Place, _Place, int], Joint]()

    def note(call: FunctionCall, arrays: Arrays) -> Answer:
        if not _is_known(call):
            return None
        given, returned = arrays()
        for at, array in enumerate(given):
            before = made.get(array)
            if before is not None:
                joints.setdefault((_place(call), _place(before[0]), at), Joint(call, before[0], at))
        made.note(call, given, returned)
        return None

    outcome(bench, note)
    return list(joints.values())


def _answers(joint: Joint, formula: Callable[[_Operands, _Operands], Array]) -> Callable[..., Answer]:
    made = _Made()

    def answer(call: FunctionCall, arrays: Arrays) -> Answer:
        if not _is_known(call):
            return None
        given, returned = arrays()
        before = made.get(given[joint.at]) if _place(call) == _place(joint.outer) else None
        if before is not None and _place(before[0]) == _place(joint.inner):
            with np.errstate(all="ignore"):
                returned = [np.asarray(formula(before[1], given), returned[0].dtype)]
        made.note(call, given, returned)
        return returned if before is not None else None

    return answer


def _ways(joint: Joint) -> Iterator[tuple[str, str, Callable[[_Operands, _Operands], Array]]]:
    """Yield how it is computed, how it may be meant, and the formula of that, of the operands of both."""
    at, outer, inner = joint.at, joint.outer.name, joint.inner.name

    def out(u: Array, given: _Operands) -> Array:
        return _UNARY[outer](u) if outer in _UNARY else _BINARY[outer][1](*_at(u, given[1 - at], at))

    def words(name: str, *operands: str) -> str:
        return f"{name}({_bare(operands[0])})" if name in _UNARY else f"({f' {_BINARY[name][0]} '.join(operands)})"

    def around(text: str) -> str:
        return words(outer, text) if outer in _UNARY else words(outer, *_at(text, "c", at))

    if inner in _UNARY:
        now = around(words(inner, "a"))
        function = _UNARY[inner]
        yield now, words(inner, around("a")), lambda p, given: function(out(p[0], given))
        if outer in _BINARY:
            other = words(outer, *_at("a", words(inner, "c"), at))
            yield now, other, lambda p, given: _BINARY[outer][1](*_at(p[0], function(given[1 - at]), at))
        return
    symbol, combined = _BINARY[inner]
    now = around(f"(a {symbol} b)")
    yield now, f"a {symbol} {around('b')}", lambda p, given: combined(p[0], out(p[1], given))
    yield now, f"{around('a')} {symbol} b", lambda p, given: combined(out(p[0], given), p[1])
    if outer in _BINARY:
        first, second = (
            words(outer, *_at(one, f"({two})", at)) for one, two in (("b", f"a {symbol} c"), ("a", f"c {symbol} b"))
        )
        yield now, first, lambda p, given: _BINARY[outer][1](*_at(p[1], combined(p[0], given[1 - at]), at))
        yield now, second, lambda p, given: _BINARY[outer][1](*_at(p[0], combined(given[1 - at], p[1]), at))


def _bare(text: str) -> str:
    """A formula without brackets around all of it."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if not depth and place < len(text) - 1:
            return text
    return text[1:-1] if text.startswith("(") else text


def _at(value: T, other: T, at: int) -> tuple[T, T]:
    return (value, other) if at == 0 else (other, value)


def _is_known(call: FunctionCall) -> bool:
    count = 2 if call.name in _BINARY else 1 if call.name in _UNARY else 0
    return bool(count) and len(call.takes) == count and len(call.gives) == 1


def _place(call: FunctionCall) -> _Place:
    return call.name, call.place, call.span


def _digest(array: Array) -> str:
    own = np.ascontiguousarray(array)
    return f"{array.shape} {array.dtype} {hashlib.blake2b(own.tobytes(), digest_size=16).hexdigest()}"
