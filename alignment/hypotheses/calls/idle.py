"""Tensors that a module makes and does not use: a gate that nothing is multiplied by, a shift that is not added."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import Answer, Arrays, FunctionCall
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Bench, ends
from alignment.hypotheses.calls.sites import Alternative, attempted, groups, outcome, where

_WAYS: Mapping[str, Callable[[Array, Array], Array]] = {
    "multiplied by": np.multiply,
    "divided by": np.divide,
    "increased by": np.add,
    "decreased by": np.subtract,
}
_MOST, _MOST_CALLS = 6, 64
"""Tensors that are tried, and calls that each is tried at."""


@dataclass(frozen=True)
class _Idle:
    """A tensor that nothing takes.

    Attributes:
        call: The call that returned it.
        part: Its place among what the call returned.
        array: Its values.
    """

    call: FunctionCall
    part: int
    array: Array

    def __str__(self) -> str:
        part = f"part {self.part + 1} of " if len(self.call.gives) > 1 else ""
        return f"{part}what its {self.call.name} gives" + (f" in {self.call.place}" if self.call.place else "")


def idle_parts(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what the module gives with a tensor that it does not use put to use.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    idle = _idle(case, bench)[:_MOST]
    if not idle:
        return
    sites = groups([call for call in (*bench.calls, *ends(bench)) if len(call.gives) == 1])[:_MOST_CALLS]
    for tensor in idle:
        for calls in sites:
            for operand in _fitting(tensor.array, calls[0].gives[0]) if tensor.call not in calls else ():
                for words, function in _WAYS.items():

                    def answer(
                        _: Sequence[Array],
                        returned: Sequence[Array],
                        operand: Array = operand,
                        function: Callable[[Array, Array], Array] = function,
                    ) -> list[Array]:
                        return [function(returned[0], operand).astype(returned[0].dtype)]

                    result = attempted(bench, calls, Alternative("", "", answer))
                    if result is not None:
                        says = f"{tensor} is not used: what its {calls[0].name} gives is to be {words} it"
                        yield Prediction(
                            "part not used", says, where(case, calls), result.outputs, case.found, case.expected
                        )


def _idle(case: Case, bench: Bench) -> list[_Idle]:
    """The tensors that functions return, and that no function takes and the module does not give."""
    made: dict[bytes, _Idle] = {}
    taken: set[bytes] = set()

    def note(call: FunctionCall, arrays: Arrays) -> Answer:
        given, returned = arrays()
        taken.update(map(_digest, given))
        for part, array in enumerate(returned):
            if array.dtype.kind == "f" and array.size > 1:
                made.setdefault(_digest(array), _Idle(call, part, array))
        return None

    result = outcome(bench, note)
    if result is None:
        return []
    outside = {_digest(array) for array in (*case.found, *result.outputs, *case.children.values())}
    return [tensor for digest, tensor in made.items() if digest not in taken and digest not in outside]


def _fitting(array: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """Yield a tensor in each shape that fits another one, with axes of length one put in."""
    seen: set[tuple[int, ...]] = set()
    missing = len(shape) - array.ndim
    if missing < 0:
        return
    for axis in range(array.ndim + 1) if missing else (0,):
        form = array.reshape(*array.shape[:axis], *(1,) * missing, *array.shape[axis:])
        if form.shape not in seen and all(a in (1, b) for a, b in zip(form.shape, shape, strict=True)):
            seen.add(form.shape)
            yield form


def _digest(array: Array) -> bytes:
    """The values of a tensor, whatever its shape: one that is only given another shape is still the same."""
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()
