"""Other inputs: one alone, the same once more, another image size, shorter sequences; and what a run leaves behind.

A model that reshapes by a fixed number of images, normalises over the batch, or keeps something between calls, gives
what is right for the one batch that the other steps use. So both sides run on a few more, made of that batch. A bound
that no value reaches makes no difference either: see `alignment.steps.larger`.

A batch that a side refuses has `other_inputs/refused/<name>`, its message in bytes. What becomes of it is up to
`alignment.judging.other_inputs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from alignment.arrays import Array, is_floating
from alignment.backends.base import Outputs
from alignment.errors import AlignmentError
from alignment.pair.variations import AGAIN, ONE, TWO, Variation, variations
from alignment.recordings.recording import Entry
from alignment.steps import larger
from alignment.steps.base import Quantity, Trial, differs, remark

STEP = "other_inputs"
_OUTPUT = Entry("output", STEP)


def run(trial: Trial) -> Iterator[Quantity]:
    """Record `other_inputs/<name>/<output>` of every further batch, and the buffers and inputs that a run changes.

    Those are `other_inputs/changed/<canonical name>` and `other_inputs/input_changed/<name>`. Recorded in one precision
    only.
    """
    if not trial.once:
        return
    _ = trial.outputs  # the first call; what it leaves behind shows in the next ones
    trial.reset()
    changed: dict[str, None] = {}
    outputs_of: dict[str, Outputs] = {}
    for variation in variations(trial.pair, trial.inputs):
        outputs = _called(trial, variation)
        if isinstance(outputs, str):
            yield remark(f"{STEP}/refused/{variation.name}", outputs)
            continue
        outputs_of[variation.name] = outputs
        changed |= dict.fromkeys(outputs.changed)
        for name, array in outputs.by_name.items():
            yield Quantity(f"{STEP}/{variation.name}/{name}", array, _OUTPUT)
    if AGAIN in outputs_of and _unsteady(outputs_of.get(ONE) or outputs_of[TWO], outputs_of[AGAIN]):
        yield remark(f"{STEP}/unsteady")
    for name in changed:
        yield remark(f"{STEP}/input_changed/{name or 'input'}")
    for name, array in _changed(trial).items():
        yield Quantity(f"{STEP}/changed/{name}", array, _OUTPUT)
    yield from larger.run(trial, STEP)


def steadiness(trial: Trial, step: str) -> Iterator[Quantity]:
    """Yield `<step>/unsteady` if two passes on the same input differ: for runs without the step `other_inputs`."""
    trial.reset()
    wanted = (ONE, TWO, AGAIN)
    first, again = (
        _called(trial, variation) for variation in variations(trial.pair, trial.inputs) if variation.name in wanted
    )
    if isinstance(first, Outputs) and isinstance(again, Outputs) and _unsteady(first, again):
        yield remark(f"{step}/unsteady")


def _unsteady(first: Outputs, again: Outputs) -> bool:
    """Whether a model gives something else for the same input once more: random numbers, or what it has kept."""
    return any(differs(first.by_name[name], array) for name, array in again.by_name.items() if name in first.by_name)


def _called(trial: Trial, variation: Variation) -> Outputs | str:
    """What the model gives for a batch, or why it takes none such."""
    try:
        return trial.backend.forward(variation.batch, None)
    except AlignmentError as error:
        place = next((f" ({line})" for line in error.details if line.startswith("File ")), "")
        return error.summary + place


def _changed(trial: Trial) -> Mapping[str, Array]:
    """The buffers that are not what they were set to, by canonical name, where both sides have them."""
    state = trial.backend.state()
    if all(_equal(trial.weights[name], state[name]) for name in trial.backend.buffers() & trial.weights.keys()):
        return {}
    before, after = trial.canonical(trial.weights), trial.canonical(state)
    return {name: array for name, array in after.items() if array.size and not _equal(before[name], array)}


def _equal(before: Array, after: Array) -> bool:
    """Whether an array holds what it was set to, in its own precision."""
    converted = before.astype(after.dtype, copy=False)
    return np.array_equal(converted, after, equal_nan=is_floating(after))
