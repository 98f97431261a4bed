"""A module run once more, alone, for hypotheses to look at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Isolated, Tap
from alignment.bisection.localise import Call, Localiser, inside, outermost


class Rerun:
    """Runs guilty modules again, and collects what hypotheses need.

    Args:
        localiser: Where the modules were found guilty.
    """

    def __init__(self, localiser: Localiser) -> None:
        self._at = localiser

    def run(self, call: Call) -> tuple[Isolated, dict[str, Array], dict[str, Array]]:
        """Run a module alone once more, its guilty children replaced.

        Returns:
            The result; what went through the modules in it, by path within the module; and what goes through them in
            the reference, under the same names.
        """
        seen: dict[str, Array] = {}
        recorded: dict[str, Array] = {}
        path = call[0]

        def visit(tap: Tap, array: Array) -> None:
            if tap.what in ("input", "output"):
                name = str(tap)[len(path) :].lstrip(".") if path else str(tap)
                seen[name] = array
                if tap.path in self._at.paths:
                    right = self._at.recorded_one((tap.path, tap.call), tap.what, tap.index)
                    if right is not None:
                        recorded[name] = right

        if self._at.mode == "train":
            self._at.trial.backend.set_state(self._at.weights)
        self._at.trial.backend.train(self._at.mode == "train")
        try:
            gradients = self._at.gradients_of(call)
            guilty = [other for other in self._at.guilty if inside(other[0], path)]
            replaced = self._at.replacing(outermost(guilty))
            result = self._at.taps.isolate(path, call[1], self._at.inputs_of(call), gradients, replaced, visit)
            return result, seen, recorded
        finally:
            self._at.trial.backend.train(False)

    def beside(self, call: Call, result: Isolated | None) -> dict[str, Array]:
        """What hypotheses about gradients and statistics need of a module that was just run again."""
        if result is None:
            return {}
        found: dict[str, Array] = {}
        if self._at.taps.gradients:
            found |= self._gradients_beside(call, result)
        if self._at.mode == "train":
            names = [name for name in self._at.statistics_names if name in self._at.held[call[0]]]
            after = self._at.trial.canonical(self._at.trial.backend.state(), names)
            found |= self._both("statistic", "running statistic", after)
            for name in names:
                before = self._at.reference.get(f"eval/parameter/{name}", self._at.dtype)
                if before is not None:
                    found[f"before/running statistic {name}"] = before
        return found

    def _gradients_beside(self, call: Call, result: Isolated) -> dict[str, Array]:
        trial, found = self._at.trial, dict[str, Array]()
        for index, gradient in enumerate(result.input_gradients):
            expected = self._at.recorded_one(call, "input_gradient", index)
            if expected is not None:
                found[f"expected/input gradient {index}"] = expected
                found[f"found/input gradient {index}"] = np.zeros_like(expected) if gradient is None else gradient
        wanted = self._at.held[call[0]] - trial.pair.architecture.buffers
        found |= self._both("gradient", "gradient of", trial.canonical(trial.backend.gradients(), wanted))
        for index, gradient in enumerate(self._at.gradients_of(call)):
            if gradient is not None:
                found[f"given/output gradient {index}"] = gradient
        for other in (other for other in self._at.isolated if inside(other[0], call[0])):
            for what in ("input_gradient", "output_gradient"):
                gradient = self._at.recorded_one(other, what, 0)
                if gradient is not None:
                    found[f"within/{what.replace('_', ' ')} of {self._at.paths[other[0]]}"] = gradient
        return found

    def _both(self, what: str, words: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for name, array in arrays.items():
            expected = self._at.reference.get(f"{self._at.mode}/{what}/{name}", self._at.dtype)
            if expected is not None:
                found[f"expected/{words} {name}"], found[f"found/{words} {name}"] = expected, array
        return found
