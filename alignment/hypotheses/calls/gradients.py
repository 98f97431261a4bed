"""Gradients that a function stops (`detach`, `no_grad`, `stop_gradient`), or that should be stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alignment.backends.functions.calls import PASSED_ON, Answer, Arrays, FunctionCall
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Bench
from alignment.hypotheses.calls.sites import outcome, where

_STOPPING = {
    "detach": "detach() stops the gradient: leave it out",
    "no_grad": "no gradient flows through what is computed under no_grad: leave it out",
    "stop_gradient": "stop_gradient=True stops the gradient: leave it out",
}


def stopped(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield the gradients of the module with each place that stops one left out.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    names = [name for name in case.extra if name.startswith("expected/")]
    expected = [case.extra[name] for name in names]
    actual = [case.extra[name.replace("expected/", "found/", 1)] for name in names]
    for stop in dict.fromkeys(call for call in bench.calls if call.name in _STOPPING):

        def answer(call: FunctionCall, _: Arrays, stop: FunctionCall = stop) -> Answer:
            return PASSED_ON if (call.name, call.place) == (stop.name, stop.place) else None

        result = outcome(bench, answer)
        if result is not None:
            after = [result.extra[name.replace("expected/", "found/", 1)] for name in names]
            yield Prediction("gradient stopped", _STOPPING[stop.name], where(case, [stop]), after, actual, expected)
    yield from _unstopped(case, bench, names)


def _unstopped(case: Case, bench: Bench, names: Sequence[str]) -> Iterator[Prediction]:
    """Yield the gradients of the module with what each of its functions gives detached."""
    expected = [case.extra[name] for name in names]
    actual = [case.extra[name.replace("expected/", "found/", 1)] for name in names]
    for at in dict.fromkeys(call for call in bench.calls if call.name not in _STOPPING and len(call.gives) == 1):

        def answer(call: FunctionCall, arrays: Arrays, at: FunctionCall = at) -> Answer:
            alike = (call.name, call.place, call.span) == (at.name, at.place, at.span)
            given, returned = arrays() if alike else ([], [])
            return returned if given and returned[0].dtype.kind == "f" else None  # the same numbers, made of nothing

        result = outcome(bench, answer)
        if result is not None and result.extra:
            after = [result.extra[name.replace("expected/", "found/", 1)] for name in names]
            says = f"no gradient is to flow through what its {at.name} gives: detach it"
            yield Prediction("gradient not stopped", says, where(case, [at]), after, actual, expected)
