"""Mistakes in the weights that the model computes with: what a script that ports weights gets wrong.

They are those of the self-test, chosen for each tensor by its module, name and shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Module
from alignment.power.mistakes import Mistake, Subject
from alignment.selftest.faults.arrays import WEIGHT_FAULTS

_MEANS, _VARIANCES = ("running_mean", "_mean", "moving_mean"), ("running_var", "_variance", "moving_variance")


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of the state dict, with the module that holds it and its last name."""

    module: Module
    local: str
    array: Array

    @property
    def is_embedding(self) -> bool:
        return "Embedding" in (self.module.kind, *self.module.bases) and self.array.ndim == 2

    @property
    def is_matrix(self) -> bool:
        return self.array.ndim == 2 and not self.is_embedding


_Wrong: TypeAlias = Callable[[Array], Array]
_Kind: TypeAlias = "Callable[[_Tensor], tuple[str, str, _Wrong] | None]"
"""Returns of a tensor what is wrong, what the inputs have to hold, and the function to the wrong values; or None."""


def in_weights(subject: Subject) -> Iterator[Mistake]:
    """Yield the mistakes in weights that apply to a candidate."""
    buffers = subject.job.backend.buffers()
    for module in subject.modules.values():
        for name in module.parameters:
            array = subject.trial.weights.get(name)
            local = name.rpartition(".")[2]
            is_state = name not in buffers or local in (*_MEANS, *_VARIANCES)  # constants are each side's own
            if array is not None and is_state and name in subject.tied and array.dtype.kind == "f" and array.size:
                yield from _of_tensor(subject, name, _Tensor(module, local, array))


def _of_tensor(subject: Subject, name: str, tensor: _Tensor) -> Iterator[Mistake]:
    for kind, apply in _KINDS.items():
        applied = apply(tensor)
        if applied is None:
            continue
        says, needs, wrong = applied
        if not np.array_equal(np.asarray(wrong(tensor.array), tensor.array.dtype), tensor.array):
            plant = subject.with_weight(name, partial(_changed, wrong, tensor.array))
            yield Mistake(kind, name, says, plant, tensor.module.kind, needs)


def _changed(wrong: _Wrong, array: Array) -> Array:
    return np.asarray(wrong(array), array.dtype, order="C")


def _fault(kind: str, *given: object) -> _Wrong:
    return lambda array: WEIGHT_FAULTS[kind](array, *given)


def _bias_off(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    if "bias" not in tensor.local or tensor.array.ndim != 1:
        return None
    return "its bias is not added", "", _fault("constant", 0.0)


def _scale_off(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    if "Norm" not in tensor.module.kind or tensor.local not in ("weight", "scale", "gamma"):
        return None
    return "its scale is not applied", "", _fault("constant", 1.0)


def _transposed(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    if not tensor.is_matrix or tensor.array.shape[0] != tensor.array.shape[1]:
        return None
    return "its square weight is transposed", "", _fault("transposed")


def _turned(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    if tensor.array.ndim != 4 or tensor.array.shape[2] != tensor.array.shape[3]:
        return None
    return "rows and columns of its kernel are exchanged", "a map that is no column of equal rows", _fault("turned")


def _rows_exchanged(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    axis = next((axis for axis, size in enumerate(tensor.array.shape) if size > 1), None)
    if axis is None or tensor.is_embedding:
        return None
    last = tensor.array.shape[axis] - 1
    return f"its first and last rows are exchanged (axis {axis})", "", _fault("exchanged", 0, last, axis)


def _thirds(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    if not tensor.is_matrix:
        return None
    axis = 0 if tensor.array.shape[0] == 3 * tensor.array.shape[1] else 1
    if tensor.array.shape[axis] != 3 * tensor.array.shape[1 - axis]:
        return None

    def wrong(array: Array) -> Array:
        changed = WEIGHT_FAULTS["thirds"](array if axis == 0 else array.T, (1, 0, 2))
        return changed if axis == 0 else changed.T

    return "q and k of its fused weight are exchanged", "", wrong


def _last_element(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    def wrong(array: Array) -> Array:
        changed: Array = array.copy()
        changed.reshape(-1)[-1] += 0.01 * (float(array.std()) or 1.0)
        return changed

    if tensor.is_embedding:
        return None
    return "its last element is off by 1 % of the spread of all", "", wrong


def _last_row(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    if not tensor.is_embedding:
        return None

    def wrong(array: Array) -> Array:
        changed: Array = array.copy()
        changed[-1] += float(array.std()) or 1.0
        return changed

    number = len(tensor.array) - 1
    return f"its last row, of the id {number}, has other values", f"the id {number}", wrong


def _rounded(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    return "it went through bfloat16", "", _fault("rounded", "bfloat16")


def _statistics(tensor: _Tensor) -> tuple[str, str, _Wrong] | None:
    for names, value in ((_MEANS, 0.0), (_VARIANCES, 1.0)):
        if tensor.local in names:
            return f"its running statistics were not loaded: all are {value:g}", "", _fault("constant", value)
    return None


_KINDS: Mapping[str, _Kind] = {
    "bias off": _bias_off,
    "scale off": _scale_off,
    "weight transposed": _transposed,
    "kernel turned": _turned,
    "rows exchanged": _rows_exchanged,
    "q and k exchanged": _thirds,
    "statistics not loaded": _statistics,
    "last element": _last_element,
    "last row": _last_row,
    "in bfloat16": _rounded,
}
