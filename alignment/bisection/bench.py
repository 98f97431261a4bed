"""One module of the candidate, run alone again and again with something changed, for hypotheses about functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Tap, Visit
from alignment.backends.functions.calls import Answer, Arrays, FunctionCall, Functions
from alignment.bisection.evidence import failures
from alignment.bisection.localise import Localiser
from alignment.bisection.modes import set_mode
from alignment.bisection.replacing import replacing
from alignment.bisection.reruns import beside
from alignment.bisection.twins import Call, inside, outermost
from alignment.hypotheses.bench import Answers, OutOfTimeError, Result, Weight

SECONDS = 180.0
"""Time for the trials of one search, on all modules."""
_LINEAR = {"paddle": 1, "torch": 0}
"""Framework to the axis of a Linear's weight that its outputs have."""


@dataclass
class Budget:
    """Time that is left for trials.

    Attributes:
        seconds: What is left.
    """

    seconds: float


class _InsideRight:
    """Which modules that are right by themselves are running within one: what they call needs no trial.

    Args:
        search: The search.
        call: The call of the module around them.

    Attributes:
        open: Those that run now, the innermost last.
        last: The last call of a function within the outermost one.
        ends: The last calls of those that have ended.
    """

    def __init__(self, search: Localiser, call: Call) -> None:
        self.open: list[tuple[str, int]] = []
        self.last: FunctionCall | None = None
        self.ends: list[FunctionCall] = []
        self._right = {
            other
            for other, judged in search.isolated.items()
            if inside(other[0], call[0]) and not judged.failures and not judged.problem and judged.forward
        }
        self._first = {path: min(number for other, number in self._right if other == path) for path, _ in self._right}

    def __call__(self, tap: Tap, array: Array) -> None:
        """Note that a module begins or ends."""
        called = tap.path, tap.call + self._first.get(tap.path, 0)
        if tap.what in ("input", "integers") and called in self._right and called not in self.open:
            self.open.append(called)
        elif tap.what == "output" and called in self.open:
            del self.open[self.open.index(called) :]
            if not self.open and self.last is not None and self.last.gives == (array.shape,):
                self.ends.append(self.last)


class ModuleBench:
    """See `alignment.hypotheses.bench.Bench`.

    Args:
        search: The search in which the module differs.
        call: The call of the module.
        functions: The functions of the candidate's framework.
        budget: The time for trials, from which each run is taken.
    """

    def __init__(self, search: Localiser, call: Call, functions: Functions, budget: Budget) -> None:
        self._search, self._call, self._functions, self._budget = search, call, functions, budget
        self.calls: tuple[FunctionCall, ...] = ()
        self.ends: tuple[FunctionCall, ...] = ()
        seen: list[FunctionCall] = []
        inside_right = _InsideRight(search, call)

        def note(call: FunctionCall, _: Arrays) -> Answer:
            if not inside_right.open:
                seen.append(call)
            elif call.name != "detach":  # which the taps call
                inside_right.last = call
            return None

        search.trial.backend.set_state(search.weights)
        with functions.watch(note):
            self._run(inside_right)
        self.calls, self.ends = tuple(seen), tuple(inside_right.ends)

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        """What the module gives with other answers of functions, or with other weights.

        Raises:
            OutOfTimeError: The time for trials is over.
        """
        if self._budget.seconds <= 0:
            raise OutOfTimeError
        started = monotonic()
        try:
            return self._changed(answers, weights)
        finally:
            self._budget.seconds -= monotonic() - started

    def _changed(self, answers: Answers | None, weights: Mapping[str, Array] | None) -> Result:
        backend = self._search.trial.backend
        backend.set_state({**self._search.weights, **(weights or {})})
        try:
            if answers is None:
                return self._run()
            with self._functions.watch(answers):
                return self._run()
        finally:
            backend.set_state(self._search.weights)

    def run_with(self, settings: Mapping[str, Any]) -> Result:
        """What the module gives with other values of its plain attributes; see `alignment.hypotheses.bench.Adjustable`.

        Raises:
            OutOfTimeError: The time for trials is over.
        """
        with self._having(settings):
            return self.run()

    def run_instead(self, path: str, call: int, other: str) -> Result:
        """What the module gives if another module takes a call; see `alignment.hypotheses.bench.Adjustable`.

        Raises:
            OutOfTimeError: The time for trials is over.
        """
        around, objects = self._call[0], self._search.taps.objects
        own, meant = (objects[f"{around}.{name}" if around else name] for name in (path, other))
        held, forward, calls = vars(own), own.forward, count()

        def called(*args: Any, **by_name: Any) -> Any:
            return (meant if next(calls) == call else forward)(*args, **by_name)

        before = held.get("forward")
        held["forward"] = called
        try:
            return self.run()
        finally:
            held.pop("forward")
            held.update({} if before is None else {"forward": before})

    @contextmanager
    def _having(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Give the module other plain attributes, each in the form that it has them, while the context is open."""
        module = self._search.taps.objects[self._call[0]]
        held = vars(module)
        names = {name: next(own for own in (name, f"_{name}", f"__{name}") if own in held) for name in settings}
        before = {own: held[own] for own in names.values()}
        try:
            for name, own in names.items():
                value, kind = settings[name], type(before[own])
                several = isinstance(value, list | tuple)
                setattr(module, own, kind(value) if several and issubclass(kind, list | tuple) else value)
            yield
        finally:
            for own, value in before.items():
                setattr(module, own, value)

    @property
    def weights(self) -> dict[str, Weight]:
        """The candidate's tensors of the Linears within the module, by name, as the reference's weights make them."""
        path, modules = self._call[0], self._search.taps.modules
        axis = _LINEAR.get(self._search.trial.side.framework)
        held: dict[str, Weight] = {}
        for name, module in modules.items():
            if (name == path or inside(name, path)) and "Linear" in module.bases and axis is not None:
                for tensor in module.parameters:
                    array = np.asarray(self._search.weights[tensor])
                    held[tensor] = Weight(name, array, axis if array.ndim == 2 else 0)
        return held

    @property
    def tensors(self) -> dict[str, Array]:
        """The candidate's floating-point tensors within the module, by name, as the reference's weights make them.

        None where modules in it are made to give what they should: what leads to them has no effect then.
        """
        path, modules = self._call[0], self._search.taps.modules
        if any(inside(other, path) for other, _ in self._search.differing):
            return {}
        names = (
            tensor
            for name, module in modules.items()
            if name == path or inside(name, path)
            for tensor in module.parameters
            if tensor in self._search.weights
        )
        arrays = {name: np.asarray(self._search.weights[name]) for name in names}
        return {name: array for name, array in arrays.items() if array.dtype.kind == "f"}

    def _run(self, visit: Visit | None = None) -> Result:
        search, call = self._search, self._call
        set_mode(search.trial.backend, search.mode)
        try:
            gradients = [] if failures(search.isolated[call].forward) else search.gradients_of(call)
            guilty = [other for other in search.differing if inside(other[0], call[0])]
            replaced = replacing(search, call, outermost(guilty))
            inputs, integers = search.inputs_of(call), search.integers_of(call)
            result = search.taps.isolate(*call, inputs, gradients, replaced or None, visit, integers)
            return Result(result.outputs, beside(search, call, result) if gradients else {})
        finally:
            search.trial.backend.train(False)
