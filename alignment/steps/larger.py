"""One input with larger numbers and larger weights: whether both sides have the bounds that no other run reaches.

`other_inputs/bounds` names the functions of a side whose bounds no value has reached before, and
`other_inputs/unreached` those that none has reached then either. What becomes of them is up to
`alignment.judging.other_inputs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np

from alignment.arrays import Array, Batch, is_floating
from alignment.backends.base import Outputs
from alignment.errors import AlignmentError
from alignment.pair.larger import larger_batch, larger_weights
from alignment.pair.variations import LARGER
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, Trial, remark
from alignment.steps.bounds import Bounds

_OUTPUT = Entry("output", "other_inputs", limit=1e-6)
"""Another bound moves what is beyond it by far more. What large numbers do to rounding is no mistake of the port."""
_STEADY = 1e-9
"""Relative L2 by which rounding moves a model at most that is held against another one here."""


def run(trial: Trial, step: str) -> Iterator[Quantity]:
    """Record `<step>/larger/<output>`, in float64; a side that fails has `<step>/refused/larger`.

    A side with such bounds that rounding alone moves too far has `<step>/unsure` in their place.

    The weights of the model are as they were when it ends.

    Args:
        trial: The side.
        step: Start of the keys.
    """
    if trial.inputs.dtype != "float64":
        return
    bounds = Bounds()
    trial.reset()
    one = _one(trial.inputs.batch)
    if isinstance(_called(trial, one, bounds), str):
        return
    bounded = bounds.told()
    if bounded:
        yield remark(f"{step}/bounds", bounded)
    outputs = _larger(trial, bounds)
    if isinstance(outputs, str):
        yield remark(f"{step}/refused/{LARGER}", outputs)
    elif bounded and (unsteady := _unsteady(trial, outputs)):
        yield remark(f"{step}/unsure", unsteady)
    else:
        for name, array in outputs.by_name.items():
            yield Quantity(f"{step}/{LARGER}/{name}", array, _OUTPUT)
        if told := bounds.told():
            yield remark(f"{step}/unreached", told)
    trial.reset()


def _larger(trial: Trial, bounds: Bounds | None = None) -> Outputs | str:
    trial.backend.set_state(larger_weights(trial.pair, trial.role, trial.weights))
    return _called(trial, larger_batch(trial.pair, trial.inputs), bounds)


def _called(trial: Trial, batch: Batch, bounds: Bounds | None) -> Outputs | str:
    functions = None if bounds is None else trial.backend.functions()
    try:
        with nullcontext() if bounds is None or functions is None else functions.watch(bounds.visit):
            return trial.backend.forward(batch, None)
    except AlignmentError as error:
        return error.summary


def _unsteady(trial: Trial, outputs: Outputs) -> str:
    """Why the side tells nothing there: rounding moves it too far; empty where it does not."""
    moved = _larger(trial.moved(np.random.default_rng(0)))
    if isinstance(moved, str):
        return moved
    arrays = [(array, moved.by_name.get(name)) for name, array in outputs.by_name.items() if is_floating(array)]
    most = max((_moved(before, after) for before, after in arrays if after is not None), default=0.0)
    return f"rounding alone moves what the {trial.role} gives for them by {most:.1e}" if most > _STEADY else ""


def _moved(before: Array, after: Array) -> float:
    """Relative L2 between two passes, where both are finite."""
    if before.shape != after.shape:
        return np.inf
    known = np.isfinite(before) & np.isfinite(after)
    norm = float(np.linalg.norm(before[known]))
    return float(np.linalg.norm((before - after)[known])) / norm if norm else 0.0


def _one(batch: Batch) -> Batch:
    return batch[:1] if isinstance(batch, np.ndarray) else {name: array[:1] for name, array in batch.items()}
