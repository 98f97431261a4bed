"""Bounds of the functions that a model calls, and whether any value has reached them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import BOUNDING, Answer, Arrays, FunctionCall

_MOST = 3
"""Places that are told; of more, their number."""
_RANGES = {
    "clamp_min": ("min", "", -inf, inf),
    "clamp_max": ("", "max", -inf, inf),
    "relu6": ("", "", -inf, 6.0),
    "hardtanh": ("min", "max", -1.0, 1.0),
    "clip": ("min", "max", -inf, inf),
}
"""Name of a function to the arguments that say its lower and upper bound, and to the bounds that it has by default."""


@dataclass
class Bounds:
    """What is seen of bounds while a model runs; `visit` is for `alignment.backends.functions.calls.Functions.watch`.

    Attributes:
        idle: Names of the bounds that no value has reached, by the function and its place, in the order of the calls.
    """

    idle: dict[tuple[str, str, float], None] = field(default_factory=dict)
    _reached: set[tuple[str, str, float]] = field(default_factory=set)

    def visit(self, call: FunctionCall, arrays: Arrays) -> Answer:
        """See what a call was given."""
        if call.name not in _RANGES and call.name not in BOUNDING:
            return None
        given, ends = _bounded(call, arrays()[0])
        if not ends or not given.size:
            return None
        least, largest = float(given.min()), float(given.max())
        for end in ends:
            key = call.name, call.place, end
            if least <= end if end < 0 else largest >= end:  # equal where the call has bounded them in place
                self._reached.add(key)
                self.idle.pop(key, None)
            elif key not in self._reached:
                self.idle[key] = None
        return None

    def told(self) -> str:
        """The functions whose bounds no value has reached, in words; empty where there is none."""
        names = [f"{name} at {end:g} ({place})" if place else f"{name} at {end:g}" for name, place, end in self.idle]
        rest = len(names) - _MOST
        return ", ".join(names[:_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _bounded(call: FunctionCall, given: Sequence[Array]) -> tuple[Array, list[float]]:
    """The numbers that a call bounds, and the bounds that larger ones may reach, none at zero.

    Of two tensors, one of a single number is the bound. A small positive number from below keeps from dividing by zero,
    and larger numbers do not reach it.
    """
    if call.name in BOUNDING:
        ends = [float(array.flat[0]) for array in given if array.size == 1]
        numbers = next((array for array in given if array.size > 1), np.zeros(0))
        lower, upper = (ends, []) if call.name == "maximum" else ([], ends)
    else:
        low, high, least, largest = _RANGES[call.name]
        numbers = given[0] if given else np.zeros(0)
        lower, upper = [call.number(low, least)], [call.number(high, largest)]
    return numbers, [*(end for end in lower if -inf < end < 0), *(end for end in upper if 0 < end < inf)]
