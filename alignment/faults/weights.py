"""Mistakes in weights, on arrays in the canonical layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np

from alignment.backends.base import Array


def _exchanged(array: Array, first: int = 0, second: int = 1, axis: int = 0) -> Array:
    order = np.arange(array.shape[axis])
    order[[first, second]] = order[[second, first]]
    return np.take(array, order, axis)


def _thirds(array: Array, order: tuple[int, int, int]) -> Array:
    parts = np.split(array, 3)
    result: Array = np.concatenate([parts[which] for which in order])
    return result


def _heads_first(array: Array, heads: int) -> Array:
    mixed: Array = array.reshape(3, heads, -1, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)
    return mixed


def _key_shifted(array: Array, by: float) -> Array:
    shifted: Array = array + np.repeat(np.array([0, by, 0], array.dtype), len(array) // 3)
    return shifted


def _one_element(array: Array, by: float) -> Array:
    changed: Array = array.copy()
    changed.reshape(-1)[array.size // 2] += array.dtype.type(by)
    return changed


def _tokens_last(array: Array, prefix: int) -> Array:
    return np.concatenate((array[:, prefix:], array[:, :prefix]), axis=1)


def _grid_turned(array: Array, prefix: int) -> Array:
    side = round((array.shape[1] - prefix) ** 0.5)
    grid = array[:, prefix:].reshape(1, side, side, -1).swapaxes(1, 2).reshape(1, side * side, -1)
    return np.concatenate((array[:, :prefix], grid), axis=1)


def _rounded(array: Array, dtype: str) -> Array:
    return array.astype(getattr(ml_dtypes, dtype, dtype)).astype(array.dtype)


WEIGHT_FAULTS: Mapping[str, Callable[..., Array]] = {
    "transposed": lambda array: array.T,
    "turned": lambda array: array.swapaxes(2, 3),
    "flipped": lambda array: array[:, :, ::-1, ::-1],
    "reversed": lambda array, axis: np.flip(array, axis),
    "exchanged": _exchanged,
    "thirds": _thirds,
    "heads first": _heads_first,
    "key shifted": _key_shifted,
    "shifted": lambda array, by: array + array.dtype.type(by),
    "scaled": lambda array, by: array * array.dtype.type(by),
    "one element": _one_element,
    "constant": lambda array, value: np.full_like(array, value),
    "rounded": _rounded,
    "tokens last": _tokens_last,
    "grid turned": _grid_turned,
}
"""Injector to the function that takes the right array and returns the wrong one."""


def injected(arrays: Mapping[str, Array], kind: str, path: str, arguments: Mapping[str, object]) -> dict[str, Array]:
    """The arrays with a mistake; `exchanged with` names a second array that goes where the first one belongs."""
    changed = dict(arrays)
    if kind == "swapped":
        other = str(arguments["other"])
        changed[path], changed[other] = arrays[other], arrays[path]
    else:
        changed[path] = np.ascontiguousarray(WEIGHT_FAULTS[kind](arrays[path], **arguments))
    return changed
