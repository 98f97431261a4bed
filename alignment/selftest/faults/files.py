"""Mistakes in what a side recorded, on the arrays by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from alignment.arrays import Array


def _with(array: Array, value: float) -> Array:
    changed: Array = array.copy()
    changed.reshape(-1)[0] = value
    return changed


def _element(array: Array) -> Array:
    changed: Array = array.copy()
    changed.reshape(-1)[array.size // 2] += 1e-2
    return changed


FILE_FAULTS: Mapping[str, Callable[[Array], Array]] = {
    "nan": lambda array: _with(array, np.nan),
    "infinity": lambda array: _with(array, np.inf),
    "transposed": lambda array: np.ascontiguousarray(array.T),
    "unsqueezed": lambda array: array[None],
    "one row": lambda array: array[:1],
    "wider": lambda array: array.astype(np.float64),
    "narrower": lambda array: array.astype(np.float16),
    "empty": lambda array: array[:0],
    "rows": lambda array: np.ascontiguousarray(array[::-1]),
    "element": _element,
    "zeros": np.zeros_like,
    "wrapped": lambda array: array + np.int64(2**62) * 2,
}


def injected(arrays: Mapping[str, Array], kind: str, key: str) -> dict[str, Array]:
    """The arrays with a mistake in one of them."""
    changed = dict(arrays)
    if kind == "missing":
        del changed[key]
    elif kind == "extra":
        changed[key] = np.zeros(3, np.float32)
    else:
        with np.errstate(over="ignore"):
            changed[key] = FILE_FAULTS[kind](arrays[key])
    return changed
