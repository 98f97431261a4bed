"""Reruns of single modules, whose arrays hypotheses compare."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Isolated, Tap
from alignment.bisection.localise import Call, Localiser, inside, outermost


class Rerun:
    """Reruns guilty modules, and collects the arrays that hypotheses need.

    Args:
        localiser: The search that classified the modules.
    """

    def __init__(self, localiser: Localiser) -> None:
        self._search = localiser

    def run(self, call: Call) -> tuple[Isolated, dict[str, Array], dict[str, Array]]:
        """Rerun a module alone, the outputs of its guilty children replaced by the reference's.

        Returns:
            The result; inputs and outputs of the modules in it, by path within the module; and those of the reference's
            modules, under the same names.
        """
        own: dict[str, Array] = {}
        recorded: dict[str, Array] = {}
        path = call[0]

        def visit(tap: Tap, array: Array) -> None:
            if tap.what in ("input", "output"):
                name = str(tap)[len(path) :].lstrip(".") if path else str(tap)
                own[name] = array
                if tap.path in self._search.paths:
                    expected = self._search.recorded_one((tap.path, tap.call), tap.what, tap.index)
                    if expected is not None:
                        recorded[name] = expected

        if self._search.mode == "train":
            self._search.trial.backend.set_state(self._search.weights)
        self._search.trial.backend.train(self._search.mode == "train")
        try:
            gradients = self._search.gradients_of(call)
            guilty = [other for other in self._search.differing if inside(other[0], path)]
            replaced = self._search.replacing(outermost(guilty))
            result = self._search.taps.isolate(path, call[1], self._search.inputs_of(call), gradients, replaced, visit)
            return result, own, recorded
        finally:
            self._search.trial.backend.train(False)

    def beside(self, call: Call, result: Isolated | None) -> dict[str, Array]:
        """The gradients and running statistics of a module after its rerun, for hypotheses, by what they are."""
        if result is None:
            return {}
        arrays: dict[str, Array] = {}
        if self._search.taps.gradients:
            arrays |= self._gradients_beside(call, result)
        if self._search.mode == "train":
            names = [name for name in self._search.statistics_names if name in self._search.held[call[0]]]
            after = self._search.trial.canonical(self._search.trial.backend.state(), names)
            arrays |= self._both("statistic", "running statistic", after)
            for name in names:
                before = self._search.reference.get(f"eval/parameter/{name}", self._search.dtype)
                if before is not None:
                    arrays[f"before/running statistic {name}"] = before
        return arrays

    def _gradients_beside(self, call: Call, result: Isolated) -> dict[str, Array]:
        trial, arrays = self._search.trial, dict[str, Array]()
        for index, gradient in enumerate(result.input_gradients):
            expected = self._search.recorded_one(call, "input_gradient", index)
            if expected is not None:
                arrays[f"expected/input gradient {index}"] = expected
                arrays[f"found/input gradient {index}"] = np.zeros_like(expected) if gradient is None else gradient
        wanted = self._search.held[call[0]] - trial.pair.architecture.buffers
        arrays |= self._both("gradient", "gradient of", trial.canonical(trial.backend.gradients(), wanted))
        for index, gradient in enumerate(self._search.gradients_of(call)):
            if gradient is not None:
                arrays[f"given/output gradient {index}"] = gradient
        for other in (other for other in self._search.isolated if inside(other[0], call[0])):
            for what in ("input_gradient", "output_gradient"):
                gradient = self._search.recorded_one(other, what, 0)
                if gradient is not None:
                    arrays[f"within/{what.replace('_', ' ')} of {self._search.paths[other[0]]}"] = gradient
        return arrays

    def _both(self, what: str, words: str, own: Mapping[str, Array]) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for name, array in own.items():
            expected = self._search.reference.get(f"{self._search.mode}/{what}/{name}", self._search.dtype)
            if expected is not None:
                arrays[f"expected/{words} {name}"], arrays[f"found/{words} {name}"] = expected, array
        return arrays
