"""Mistakes in weights, on arrays in the canonical layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ml_dtypes
import numpy as np

from alignment.arrays import Array


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


def _rows_scaled(array: Array, count: int, by: float) -> Array:
    """The first rows: of a qkv weight, those of the first head's queries."""
    changed: Array = array.copy()
    changed[:count] *= array.dtype.type(by)
    return changed


def _heads_exchanged(array: Array, heads: int) -> Array:
    parts = array.reshape(3, heads, -1, *array.shape[1:]).copy()
    parts[:, [0, 1]] = parts[:, [1, 0]]
    result: Array = parts.reshape(array.shape)
    return result


def _noised(array: Array, share: float) -> Array:
    drawn = np.random.default_rng(0).standard_normal(array.shape)
    return np.asarray(array + share * array.std() * drawn, array.dtype)


def _channels_scaled(array: Array, by: tuple[float, ...]) -> Array:
    scaled: Array = array * np.asarray(by, array.dtype).reshape(1, -1, 1, 1)
    return scaled


def _quantised(array: Array, levels: int) -> Array:
    step = np.abs(array).max() / levels
    return np.asarray(np.round(array / step) * step, array.dtype)


def _outputs_interleaved(array: Array, groups: int) -> Array:
    mixed: Array = array.reshape(groups, -1, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)
    return mixed


def _key_zero(array: Array) -> Array:
    changed: Array = array.copy()
    changed[len(array) // 3 : 2 * len(array) // 3] = 0
    return changed


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
    "reshaped": lambda array: np.ascontiguousarray(array.T).reshape(array.shape),
    "rolled": lambda array, axis: np.roll(array, 1, axis),
    "rows scaled": _rows_scaled,
    "heads exchanged": _heads_exchanged,
    "noised": _noised,
    "channels scaled": _channels_scaled,
    "quantised": _quantised,
    "interleaved": _outputs_interleaved,
    "key zero": _key_zero,
}
"""Injector to the function that takes the right array and returns the wrong one."""


def injected(arrays: Mapping[str, Array], kind: str, path: str, arguments: Mapping[str, object]) -> dict[str, Array]:
    """The arrays with a mistake; `exchanged with` names a second array that goes where the first one belongs."""
    changed = dict(arrays)
    if kind == "swapped":
        other = str(arguments["other"])
        changed[path], changed[other] = arrays[other], arrays[path]
    elif kind == "copied":
        changed[path] = arrays[str(arguments["other"])].copy()
    else:
        changed[path] = np.ascontiguousarray(WEIGHT_FAULTS[kind](arrays[path], **arguments))
    return changed
