"""Reruns of single modules that are wrong by themselves, for the arrays that hypotheses compare."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Isolated, Tap
from alignment.bisection.localise import Localiser
from alignment.bisection.modes import set_mode
from alignment.bisection.replacing import calls_before, replacing
from alignment.bisection.twins import Call, inside, outermost


def rerun(search: Localiser, call: Call) -> tuple[Isolated, dict[str, Array], dict[str, Array]]:
    """Rerun a module alone, the outputs of its guilty children replaced by the reference's.

    Returns:
        The result; inputs and outputs of the modules in it, by path within the module; and those of the reference's
        modules, under the same names.
    """
    own: dict[str, Array] = {}
    recorded: dict[str, Array] = {}
    path = call[0]

    def visit(tap: Tap, array: Array) -> None:
        if tap.what in ("input", "output", "integers"):
            name = str(tap)[len(path) :].lstrip(".") if path else str(tap)
            own[name] = array
            if tap.path in search.paths:
                number = tap.call + calls_before(search, call, tap.path)
                expected = search.recorded_one((tap.path, number), tap.what, tap.index)
                if expected is not None:
                    recorded[name] = expected

    search.trial.backend.set_state(search.weights)
    set_mode(search.trial.backend, search.mode)
    try:
        gradients = search.gradients_of(call)
        guilty = [other for other in search.differing if inside(other[0], path)]
        replaced = replacing(search, call, outermost(guilty))
        integers = search.integers_of(call)
        result = search.taps.isolate(*call, search.inputs_of(call), gradients, replaced, visit, integers)
        called = {name.partition(":")[0] for name in own}
        for other in search.paths:  # modules of the candidate that take no part, whose counterparts do
            name = other[len(path) :].lstrip(".") if path else other
            expected = search.recorded_one((other, 0), "output", 0) if inside(other, path) else None
            if name and name not in called and expected is not None:
                recorded[f"{name}:0/output/0"] = expected
        return result, own, recorded
    finally:
        search.trial.backend.train(False)


def beside(search: Localiser, call: Call, result: Isolated | None) -> dict[str, Array]:
    """The gradients and running statistics of a module after its rerun, for hypotheses, by what they are."""
    if result is None:
        return {}
    arrays: dict[str, Array] = {}
    if search.taps.gradients:
        arrays |= _gradients_beside(search, call, result)
    if search.mode == "train":
        names = [name for name in search.statistics_names if name in search.held[call[0]]]
        after = search.trial.some(search.trial.backend.state, names)
        taken_otherwise = {name: array for name, array in after.items() if name in search.other_statistics}
        arrays |= _both(search, "statistic", "running statistic", after)
        arrays |= _both(search, "other statistic", "running statistic", taken_otherwise)
        for name in names:
            before = search.reference.get(f"eval/parameter/{name}", search.dtype)
            if before is not None:
                arrays[f"before/running statistic {name}"] = before
    return arrays


def _gradients_beside(search: Localiser, call: Call, result: Isolated) -> dict[str, Array]:
    trial, arrays = search.trial, dict[str, Array]()
    for index, gradient in enumerate(result.input_gradients):
        expected = search.recorded_one(call, "input_gradient", index)
        if expected is not None:
            arrays[f"expected/input gradient {index}"] = expected
            arrays[f"found/input gradient {index}"] = np.zeros_like(expected) if gradient is None else gradient
    wanted = search.held[call[0]] - trial.pair.architecture.buffers
    arrays |= _both(search, "gradient", "gradient of", trial.some_gradients(trial.backend.gradients, wanted))
    for index, gradient in enumerate(search.gradients_of(call)):
        if gradient is not None:
            arrays[f"given/output gradient {index}"] = gradient
    for other in (other for other in search.isolated if inside(other[0], call[0])):
        for what in ("input_gradient", "output_gradient"):
            gradient = search.recorded_one(other, what, 0)
            if gradient is not None:
                arrays[f"within/{what.replace('_', ' ')} of {search.paths[other[0]]}"] = gradient
    return arrays


def _both(search: Localiser, what: str, words: str, own: Mapping[str, Array]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for name, array in own.items():
        expected = search.reference.get(f"{search.mode}/{what}/{name}", search.dtype)
        if expected is not None:
            arrays[f"expected/{words} {name}"], arrays[f"found/{words} {name}"] = expected, array
    return arrays
