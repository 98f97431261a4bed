"""Where a module calls functions, and what it gives if the calls of one place are answered in another way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import Answer, Arrays, FunctionCall
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Answers, Bench, OutOfTimeError, Result

_SAME = 1e-13
"""Relative L2 of two answers below which they are the same."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another answer of a function.

    Attributes:
        name: Short name of the mistake.
        says: What is wrong, in a sentence, with what to write instead.
        answer: Called with the tensors that the function was given and those that it returned; returns what it should.
    """

    name: str
    says: str
    answer: Callable[..., Sequence[Array]]


Alternatives: TypeAlias = Callable[[FunctionCall], Iterator[Alternative]]
Table: TypeAlias = Mapping[str, tuple[Alternatives, ...]]
"""Name of a function to the alternatives of a call of it."""


def tried(case: Case, bench: Bench, table: Table) -> Iterator[Prediction]:
    """Yield what the module gives with each alternative of each place, and of all places that make the same call.

    Args:
        case: The finding.
        bench: The module.
        table: The functions and their alternatives.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    for calls in _groups([call for call in bench.calls if call.name in table]):
        for alternatives in table[calls[0].name]:
            for alternative in alternatives(calls[0]):
                result = attempted(bench, calls, alternative)
                if result is not None:
                    look_at = where(case, calls)
                    yield Prediction(
                        alternative.name, alternative.says, look_at, result.outputs, case.found, case.expected
                    )


def attempted(bench: Bench, calls: Sequence[FunctionCall], alternative: Alternative) -> Result | None:
    """What the module gives with some calls answered otherwise; None if that changes nothing or is not possible.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    chosen, changed = frozenset(calls), list[bool]()

    def answer(call: FunctionCall, arrays: Arrays) -> Answer:
        if call not in chosen:
            return None
        inputs, returned = arrays()
        other = [np.asarray(array) for array in alternative.answer(inputs, returned)]
        changed.append(any(_differs(*pair) for pair in zip(other, returned, strict=True)))
        return other if changed[-1] else None

    result = outcome(bench, answer)
    return result if any(changed) else None


def outcome(bench: Bench, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result | None:
    """What the module gives with something changed; None where it fails then.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    try:
        return bench.run(answers, weights)
    except OutOfTimeError:
        raise
    except Exception:  # whatever a framework raises of a tensor that does not fit
        return None


def where(case: Case, calls: Sequence[FunctionCall]) -> str:
    """Where to look: file and line of the first call, with its text."""
    first = calls[0]
    return f"{first.place}: {first.line}" if first.place else case.place(first.name, "in")


def _groups(calls: Sequence[FunctionCall]) -> list[list[FunctionCall]]:
    """The distinct calls of each place, then those that are the same but for their place."""
    by_place: dict[tuple[object, ...], list[FunctionCall]] = defaultdict(list)
    alike: dict[tuple[object, ...], list[FunctionCall]] = defaultdict(list)
    for call in dict.fromkeys(calls):
        by_place[call.name, call.place, call.settings, len(call.takes)].append(call)
        alike[call.name, call.settings, call.takes].append(call)
    return [*by_place.values(), *(group for group in alike.values() if len(group) > 1)]


def _differs(one: Array, other: Array) -> bool:
    if one.shape != other.shape:
        return True
    with np.errstate(all="ignore"):
        unequal = ~((one == other) | (np.isnan(one.astype(np.float64)) & np.isnan(other.astype(np.float64))))
        if not unequal.any():
            return False
        apart = np.abs(one.astype(np.float64) - other)[unequal]
        size = np.abs(other.astype(np.float64))
        largest = float(size[np.isfinite(size)].max(initial=0.0))
    return bool(np.isnan(apart).any() or float(apart.max()) > _SAME * max(largest, 1e-300))
