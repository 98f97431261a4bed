"""Initialisation: whether each tensor of a fresh model is drawn from the same distribution on both sides.

Generators differ, so no value can be compared. Each side builds its model from several seeds; what they give a tensor
is pooled, and `alignment.judging.special_kinds.judge_sample` tests the two samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.recordings.recording import Entry
from alignment.steps.base import PlainTrial, Quantity, TrainingTrial

SEEDS = 4
_VALUES = 2**15
"""Most values of a tensor that are compared."""
_SAMPLE = Entry("sample", "init")


def run(trial: TrainingTrial | PlainTrial) -> Iterator[Quantity]:
    """Record `init/sample/<canonical name>`, ascending, `init/repeated` and `init/alike`.

    The latter are how many tensors are the same under two seeds, and how many repeat another one of the model.
    """
    drawn: dict[str, list[Array]] = {}
    for number in range(SEEDS):
        state = trial.canonical(trial.trainer.initial(trial.seed * SEEDS + number))
        for name, array in state.items():
            drawn.setdefault(name, []).append(_some(array))
    repeated = sum(_is_drawn(arrays[0]) and np.array_equal(arrays[0], arrays[1]) for arrays in drawn.values())
    yield Quantity("init/repeated", np.asarray(repeated, np.int64), Entry("count", "init"))
    first = [(arrays[0].shape, arrays[0].tobytes()) for arrays in drawn.values() if _is_drawn(arrays[0])]
    yield Quantity("init/alike", np.asarray(len(first) - len(set(first)), np.int64), Entry("count", "init"))
    for name, arrays in drawn.items():
        yield Quantity(f"init/sample/{name}", np.sort(np.concatenate(arrays)), _SAMPLE)


def _some(array: Array) -> Array:
    """Values from all over a tensor, as many as a seed contributes."""
    flat = array.reshape(-1)
    return flat if flat.size <= _VALUES // SEEDS else flat[:: -(-flat.size * SEEDS // _VALUES)]


def _is_drawn(array: Array) -> bool:
    return bool((array != array[0]).any())
