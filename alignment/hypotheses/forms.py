"""What tensors become when they are cut, joined, turned and activated, to get the shape of another one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import ACTIVATIONS, FOLLOWING

SAMPLES = 20_000
"""Elements of a tensor that are looked at, or activated, at most."""


def derived(shape: tuple[int, ...], terms: Mapping[str, Array]) -> dict[str, Array]:
    """Return the terms of a shape, and what can be made of the others by cutting, joining, turning and activating."""
    forms: dict[str, Array] = {}
    for name, array in (*terms.items(), *_joined(terms).items()):
        for derived, changed in _forms(name, array, shape):
            if _broadcasts(changed.shape, shape):
                forms.setdefault(derived, changed)
    return forms


def _forms(name: str, array: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Yield an array, and what can be made of it to get a shape; the number of axes of both decides."""
    yield name, array
    if array.ndim > len(shape) > 1 and array.size == math.prod(shape) and array.shape[0] == shape[0]:
        yield f"{name}, flattened", array.reshape(shape)
    if array.shape == shape:
        yield from _same_shape(name, array)
    elif (array.ndim, len(shape)) == (3, 2):
        for token in sorted({0, 1, 2, array.shape[1] - 1}):
            if token < array.shape[1]:
                yield f"{name}[:, {token}]", array[:, token]
        yield f"the mean over tokens of {name}", array.mean(1)
    elif (array.ndim, len(shape)) == (3, 3) and array.shape[1] > shape[1]:
        yield f"{name}[:, :{shape[1]}]", array[:, : shape[1]]
        yield f"{name}[:, -{shape[1]}:]", array[:, -shape[1] :]
    elif (array.ndim, len(shape)) == (3, 4):
        yield from _maps(name, array, shape)
    elif (array.ndim, len(shape)) == (4, 2):
        yield f"the mean over the map of {name}", array.mean((2, 3) if array.shape[1] == shape[1] else (1, 2))
        yield f"the largest over the map of {name}", array.max((2, 3))
    elif (array.ndim, len(shape)) == (4, 4) and array.shape[2] == array.shape[3]:
        yield f"{name} with rows and columns exchanged", array.swapaxes(2, 3)


def _same_shape(name: str, array: Array) -> Iterator[tuple[str, Array]]:
    if array.ndim == 4 and array.shape[2] == array.shape[3]:
        yield f"{name} with rows and columns exchanged", array.swapaxes(2, 3)
    if array.ndim == 3 and 1 < array.shape[1] <= 3:
        yield f"{name}[:, ::-1]", array[:, ::-1]
    if array.ndim > 2 and array.size <= SAMPLES:
        for activation in FOLLOWING:
            yield f"{activation} of {name}", ACTIVATIONS[activation](array)


def _maps(name: str, array: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    batch, width, rows, columns = shape
    if array.shape[0] != batch or array.shape[1] < rows * columns or array.shape[2] != width:
        return
    extra = array.shape[1] - rows * columns
    for words, part in ((f"[:, {extra}:]", array[:, extra:]), (f"[:, :{rows * columns}]", array[:, : rows * columns])):
        grid = part.reshape(batch, rows, columns, width)
        yield f"{name}{words} as a map", grid.transpose(0, 3, 1, 2)
        if rows == columns:
            yield f"{name}{words} as a map with rows and columns exchanged", grid.transpose(0, 3, 2, 1)


def _joined(terms: Mapping[str, Array]) -> dict[str, Array]:
    """Return class tokens and a map, joined to a sequence in all ways."""
    maps = {name: array for name, array in terms.items() if array.ndim == 4}
    tokens = {name: array for name, array in terms.items() if array.ndim == 3 and array.shape[1] <= 2}
    sequences = {}
    for name, array in maps.items():
        rows = array.reshape(*array.shape[:2], -1).swapaxes(1, 2)
        columns = array.swapaxes(2, 3).reshape(*array.shape[:2], -1).swapaxes(1, 2)
        for before, heads in _heads(tokens, len(array), array.shape[1]):
            for words, body in (("", rows), (" by columns", columns)):
                sequences[f"{before} and {name}{words}, joined"] = np.concatenate((heads, body), axis=1)
                sequences[f"{name}{words} and {before}, joined"] = np.concatenate((body, heads), axis=1)
    return sequences


def _heads(tokens: Mapping[str, Array], batch: int, width: int) -> Iterator[tuple[str, Array]]:
    fitting = {
        name: np.broadcast_to(array, (batch, *array.shape[1:]))
        for name, array in tokens.items()
        if array.shape[2] == width and array.shape[0] in (1, batch)
    }
    yield from fitting.items()
    for name, array in fitting.items():
        if array.shape[1] == 2:
            yield f"{name}[:, ::-1]", array[:, ::-1]
    for name, array in fitting.items():
        for other, second in fitting.items():
            if name != other:
                yield f"{name}, {other}", np.concatenate((array, second), axis=1)


def distinct(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Return each array under its first name: a dropout that is off gives what it gets."""
    distinct: dict[str, Array] = {}
    digests: set[tuple[tuple[int, ...], bytes]] = set()
    for name, array in columns.items():
        digest = (array.shape, hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest())
        if digest not in digests:
            digests.add(digest)
            distinct[name] = array
    return distinct


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    if len(shape) > len(target) or len(shape) < min(2, len(target)):
        return False
    aligned = (1,) * (len(target) - len(shape)) + shape
    return all(a in (1, b) for a, b in zip(aligned, target, strict=True))
