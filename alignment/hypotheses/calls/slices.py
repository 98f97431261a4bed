"""Parts that are cut out of a tensor at another place: the first token for the last, labels that are not shifted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.calls.sites import Alternative, Table

_MOST = 64
_PLACES = (0, 1, 2, -1, -2)


def _cut(call: FunctionCall) -> Iterator[Alternative]:
    """Predict the same shape from another place along each axis that is cut."""
    index = _parsed(call.setting("index"))
    if index is None or len(call.takes) != 1:
        return
    for changed in _moved(index, call.takes[0]):
        says = f"it takes [{_text(index)}] of {call.takes[0]}, where [{_text(changed)}] is meant"
        yield Alternative("another part", says, lambda given, _, changed=changed: [_taken(given[0], changed)])
    for axis, item in enumerate(index):
        if axis >= len(call.takes[0]):
            return
        for other in _others(item, call.takes[0][axis]):
            changed = (*index[:axis], other, *index[axis + 1 :])
            says = f"it takes [{_text(index)}] of {call.takes[0]}, where [{_text(changed)}] is meant"
            yield Alternative("another part", says, lambda given, _, changed=changed: [_taken(given[0], changed)])


def _moved(index: tuple[Any, ...], shape: tuple[int, ...]) -> Iterator[tuple[Any, ...]]:
    """Several axes that are cut, all begun one place later or earlier."""
    cut = [axis for axis, item in enumerate(index) if isinstance(item, slice) and item != slice(None)]
    if len(cut) < 2 or max(cut) >= len(shape):
        return
    for shift in (1, -1):
        bounds = {axis: index[axis].indices(shape[axis]) for axis in cut}
        places = {axis: (start + shift, stop + shift) for axis, (start, stop, step) in bounds.items() if step == 1}
        if len(places) == len(cut) and all(a >= 0 and b <= shape[axis] for axis, (a, b) in places.items()):
            yield tuple(slice(*places[axis]) if axis in places else item for axis, item in enumerate(index))


def _others(item: Any, size: int) -> Iterator[Any]:
    """The same number of places, begun elsewhere."""
    if isinstance(item, int):
        own = item % size if size else 0
        yield from (
            place for place in dict.fromkeys(place % size for place in _PLACES if -size <= place < size) if place != own
        )
    elif isinstance(item, slice) and item != slice(None):
        start, stop, step = item.indices(size)
        count = len(range(start, stop, step))
        if step == 1 and 0 < count < size <= _MOST:
            for begin in dict.fromkeys((start - 1, start + 1, 0, size - count)):
                if begin != start and 0 <= begin <= size - count:
                    yield slice(begin or None, begin + count if begin + count < size else None)


def _taken(array: Array, index: tuple[Any, ...]) -> Array:
    return np.asarray(array[index])


def _parsed(text: str) -> tuple[Any, ...] | None:
    """The index of whole numbers and slices that a text stands for; None for any other."""
    try:
        node = ast.parse(f"x[{text}]", mode="eval").body
    except SyntaxError:
        return None
    if not isinstance(node, ast.Subscript):
        return None
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    items = [_item(part) for part in parts]
    return None if any(item is NotImplemented for item in items) else tuple(items)


def _item(node: ast.expr) -> Any:
    try:
        if isinstance(node, ast.Slice):
            bounds = (None if part is None else ast.literal_eval(part) for part in (node.lower, node.upper, node.step))
            return slice(*bounds)
        value = ast.literal_eval(node)
    except ValueError:
        return NotImplemented
    return value if isinstance(value, int) and not isinstance(value, bool) else NotImplemented


def _text(index: tuple[Any, ...]) -> str:
    return ", ".join(_slice(item) if isinstance(item, slice) else str(item) for item in index)


def _slice(item: slice) -> str:
    first, last = ("" if bound is None else str(bound) for bound in (item.start, item.stop))
    return f"{first}:{last}" + ("" if item.step in (None, 1) else f":{item.step}")


SLICES: Table = {"getitem": (_cut,)}
"""Name of a function to its calls that take another part."""
