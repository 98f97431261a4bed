"""Where a module calls functions, and what it gives if the calls of one place are answered in another way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import Answer, Arrays, FunctionCall
from alignment.hypotheses.base import Case, Prediction, distance
from alignment.hypotheses.bench import Answers, Bench, OutOfTimeError, Result

_LITTLE = 1e-6
"""Share by which an answer is changed to see whether it matters."""
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


def tried(
    case: Case, bench: Bench, table: Table, *, smooth: bool = False, calls: Sequence[FunctionCall] | None = None
) -> Iterator[Prediction]:
    """Yield what the module gives with each alternative of each place, and of all places that make the same call.

    Args:
        case: The finding.
        bench: The module.
        table: The functions and their alternatives.
        smooth: Leave out an alternative of which a small part makes no difference: where numbers are rounded to whole
            ones later, many answers do as well.
        calls: The calls that are tried; those of the module, if None.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    for alike in groups([call for call in (bench.calls if calls is None else calls) if call.name in table]):
        for alternatives in table[alike[0].name]:
            for alternative in alternatives(alike[0]):
                result = attempted(bench, alike, alternative)
                if result is not None and not (smooth and _is_rounded(case, bench, alike, alternative, result)):
                    look_at = where(case, alike)
                    yield Prediction(
                        alternative.name, alternative.says, look_at, result.outputs, case.found, case.expected
                    )


def _is_rounded(
    case: Case, bench: Bench, calls: Sequence[FunctionCall], alternative: Alternative, result: Result
) -> bool:
    """True for an alternative that explains the finding, and does so with a little more as well."""
    if distance(result.outputs, case.expected) > case.limit:
        return False

    def more(given: Sequence[Array], returned: Sequence[Array]) -> list[Array]:
        arrays = [np.asarray(array) for array in alternative.answer(given, returned)]
        return [array * (1 + _LITTLE) if array.dtype.kind == "f" else array for array in arrays]

    other = attempted(bench, calls, Alternative(alternative.name, alternative.says, more))
    return other is not None and all(map(np.array_equal, other.outputs, result.outputs))


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
        with np.errstate(all="ignore"):
            other = [np.asarray(array) for array in alternative.answer(inputs, returned)]
        if call.name != "arange" and not all(_may_index(array, inputs, returned) for array in other):
            return None
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


def groups(calls: Sequence[FunctionCall]) -> list[list[FunctionCall]]:
    """The distinct calls of each place, then those of a line, then those that are the same but for their place."""
    places, lines, alike = (defaultdict[tuple[object, ...], list[FunctionCall]](list) for _ in range(3))
    for call in dict.fromkeys(calls):
        places[call.name, call.place, call.span, call.settings, len(call.takes)].append(call)
        lines[call.name, call.place, call.settings, len(call.takes)].append(call)
        alike[call.name, call.settings, call.takes].append(call)
    distinct = {frozenset(group): group for table in (places, lines, alike) for group in table.values()}
    return list(distinct.values())


def _may_index(array: Array, given: Sequence[Array], returned: Sequence[Array]) -> bool:
    """False for whole numbers beyond all that were there: as indices they may end the process within the framework."""
    if array.dtype.kind not in "iu":
        return True
    known = [one for one in (*given, *returned) if one.dtype.kind in "iu" and one.size]
    if not array.size or not known:
        return not array.size
    lowest, highest = min(int(one.min()) for one in known), max(int(one.max()) for one in known)
    return lowest <= int(array.min()) and int(array.max()) <= highest


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
