"""A tensor that a loop takes apart in another order: the anchors of the second scale for those of the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from alignment.backends.functions.calls import Answer, Arrays, FunctionCall
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Bench
from alignment.hypotheses.calls.sites import outcome, where

_MOST = 8


def in_another_order(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what the module gives where one line takes the parts of tensors, one at a time, in reverse order.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    places: dict[tuple[object, ...], dict[FunctionCall, int]] = defaultdict(dict)
    for call in bench.calls:
        index = call.setting("index")
        if call.name == "getitem" and call.place and index.lstrip("-").isdigit() and len(call.takes) == 1:
            places[call.place, call.span, call.takes][call] = int(index)
    for calls in places.values():
        taken = [*calls.values()]
        if not 1 < len(taken) <= _MOST or len({*taken}) < len(taken):
            continue
        meant = dict(zip(calls, reversed(taken), strict=True))

        def answer(call: FunctionCall, arrays: Arrays, meant: dict[FunctionCall, int] = meant) -> Answer:
            return [np.asarray(arrays()[0][0][meant[call]])] if call in meant else None

        result = outcome(bench, answer)
        if result is not None:
            says = f"in turn it takes [{_text(taken)}], where [{_text(taken[::-1])}] is meant"
            yield Prediction("order in a loop", says, where(case, [*calls]), result.outputs, case.found, case.expected)


def _text(places: list[int]) -> str:
    return "], [".join(map(str, places))
