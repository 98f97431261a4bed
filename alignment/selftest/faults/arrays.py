"""Mistakes in arrays: in weights of the canonical layout, and in what a side recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np

from alignment.arrays import Array


def _exchanged(array: Array, first: int, second: int, axis: int = 0) -> Array:
    order = np.arange(array.shape[axis])
    order[[first, second]] = order[[second, first]]
    return np.take(array, order, axis)


def _thirds(array: Array, order: tuple[int, int, int]) -> Array:
    parts = np.split(array, 3)
    return np.concatenate([parts[index] for index in order])


def _axes_swapped(array: Array, *shape: int) -> Array:
    """Return the array whose rows, counted as `shape`, have the first two axes exchanged."""
    swapped: Array = array.reshape(*shape, -1, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)
    return swapped


def _grid_turned(array: Array, prefix: int) -> Array:
    side = round((array.shape[1] - prefix) ** 0.5)
    grid = array[:, prefix:].reshape(1, side, side, -1).swapaxes(1, 2).reshape(1, side * side, -1)
    return np.concatenate((array[:, :prefix], grid), axis=1)


def _added(array: Array, index: int, value: float) -> Array:
    changed: Array = array.copy()
    changed.reshape(-1)[index] += array.dtype.type(value)
    return changed


def _rows_scaled(array: Array, count: int, by: float) -> Array:
    """Return the array with its first rows scaled: of a qkv weight, those of the first head's queries."""
    changed: Array = array.copy()
    changed[:count] *= array.dtype.type(by)
    return changed


def _key_zero(array: Array) -> Array:
    changed: Array = array.copy()
    changed[len(array) // 3 : 2 * len(array) // 3] = 0
    return changed


def _heads_exchanged(array: Array, heads: int) -> Array:
    parts = array.reshape(3, heads, -1, *array.shape[1:])
    swapped: Array = parts[:, [1, 0, *range(2, heads)]].reshape(array.shape)
    return swapped


def _noised(array: Array, share: float) -> Array:
    noise = np.random.default_rng(0).standard_normal(array.shape)
    return np.asarray(array + share * array.std() * noise, array.dtype)


def _quantised(array: Array, levels: int) -> Array:
    step = np.abs(array).max() / levels
    return np.asarray(np.round(array / step) * step, array.dtype)


WEIGHT_FAULTS: Mapping[str, Callable[..., Array]] = {
    "transposed": lambda array: array.T,
    "turned": lambda array: array.swapaxes(2, 3),
    "flipped": lambda array: array[:, :, ::-1, ::-1],
    "reversed": lambda array, axis: np.flip(array, axis),
    "exchanged": _exchanged,
    "thirds": _thirds,
    "heads first": lambda array, heads: _axes_swapped(array, 3, heads),
    "key shifted": lambda array, by: array + np.repeat(np.array([0, by, 0], array.dtype), len(array) // 3),
    "shifted": lambda array, by: array + array.dtype.type(by),
    "scaled": lambda array, by: array * array.dtype.type(by),
    "one element": lambda array, by: _added(array, array.size // 2, by),
    "constant": lambda array, value: np.full_like(array, value),
    "rounded": lambda array, dtype: array.astype(getattr(ml_dtypes, dtype, dtype)).astype(array.dtype),
    "tokens last": lambda array, prefix: np.concatenate((array[:, prefix:], array[:, :prefix]), axis=1),
    "grid turned": _grid_turned,
    "reshaped": lambda array: np.ascontiguousarray(array.T).reshape(array.shape),
    "rolled": lambda array, axis: np.roll(array, 1, axis),
    "rows scaled": _rows_scaled,
    "heads exchanged": _heads_exchanged,
    "noised": _noised,
    "channels scaled": lambda array, by: array * np.asarray(by, array.dtype).reshape(1, -1, 1, 1),
    "quantised": _quantised,
    "interleaved": lambda array, groups: _axes_swapped(array, groups),
    "key zero": _key_zero,
}
"""Functions that take the correct weight and return the wrong one, by kind."""
FILE_FAULTS: Mapping[str, Callable[[Array], Array]] = {
    "nan": lambda array: _added(array, 0, np.nan),
    "infinity": lambda array: _added(array, 0, np.inf),
    "transposed": lambda array: np.ascontiguousarray(array.T),
    "unsqueezed": lambda array: array[None],
    "one row": lambda array: array[:1],
    "wider": lambda array: array.astype(np.float64),
    "narrower": lambda array: array.astype(np.float16),
    "empty": lambda array: array[:0],
    "rows": lambda array: np.ascontiguousarray(array[::-1]),
    "element": lambda array: _added(array, array.size // 2, 1e-2),
    "zeros": np.zeros_like,
    "wrapped": lambda array: array + np.int64(2**62) * 2,
}
"""Functions that take the correct recorded array and return the wrong one, by kind."""


def in_weights(arrays: Mapping[str, Array], kind: str, path: str, arguments: Mapping[str, object]) -> dict[str, Array]:
    """Return the weights with a mistake; `swapped` exchanges two tensors, `copied` holds another one's values."""
    changed = dict(arrays)
    if kind == "swapped":
        other = str(arguments["other"])
        changed[path], changed[other] = arrays[other], arrays[path]
    elif kind == "copied":
        changed[path] = arrays[str(arguments["other"])].copy()
    else:
        changed[path] = np.ascontiguousarray(WEIGHT_FAULTS[kind](arrays[path], **arguments))
    return changed


def in_files(arrays: Mapping[str, Array], kind: str, key: str) -> dict[str, Array]:
    """Return recorded arrays with a mistake in one of them; a key may also be `missing` or `extra`."""
    changed = dict(arrays)
    if kind == "missing":
        del changed[key]
    elif kind == "extra":
        changed[key] = np.zeros(3, np.float32)
    else:
        with np.errstate(over="ignore"):
            changed[key] = FILE_FAULTS[kind](arrays[key])
    return changed
