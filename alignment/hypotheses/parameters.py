"""Mistakes of a port that leave a weight wrong: its order, its orientation, its place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import ml_dtypes
import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import FITTED, Case, Prediction
from alignment.hypotheses.resizing import resized
from alignment.results.findings import Evidence

_QKV = ("q", "k", "v")
_FEW = 3


def _value(case: Case) -> tuple[str, Array, Array]:
    return case.finding.path, case.expected[0], case.found[0]


def orientation(case: Case) -> Iterator[Prediction]:
    """Axes in another order, or running backwards."""
    name, right, _ = _value(case)
    rule = f"the rule of {name} between the two layouts"
    if right.ndim == 2 and right.shape[0] == right.shape[1]:
        says = "the weight is not transposed: torch stores (out, in), Paddle (in, out)"
        yield Prediction("not transposed", says, rule, [right.T])
    if right.ndim == 4 and right.shape[2] == right.shape[3] and right.shape[2] > 1:
        yield Prediction("rows and columns swapped", "height and width are exchanged", rule, [right.swapaxes(2, 3)])
        yield Prediction("kernel flipped", "the kernel is turned by 180 degrees", rule, [right[:, :, ::-1, ::-1]])
    if right.ndim == 4 and right.shape[1] == 3:
        says = "the input channels are in reverse order: RGB where BGR is meant, or the other way round"
        yield Prediction("channel order", says, rule, [right[:, ::-1]])


def tokens(case: Case) -> Iterator[Prediction]:
    """Embeddings of tokens in another order."""
    name, right, _ = _value(case)
    if right.ndim != 3 or right.shape[0] != 1:
        return
    count = right.shape[1]
    if count == 2:
        says = "class token and distillation token are exchanged"
        yield Prediction("class token order", says, f"where {name} is put together", [right[:, ::-1]])
    for prefix in (0, 1, 2):
        side = round((count - prefix) ** 0.5)
        if count <= 3 or side * side != count - prefix:
            continue
        head, grid = right[:, :prefix], right[:, prefix:]
        if prefix:
            moved = np.concatenate((grid, head), axis=1)
            says = "the class tokens stand after the patches, not before them"
            yield Prediction("class tokens last", says, f"the order of tokens in {name}", [moved])
        turned = grid.reshape(1, side, side, -1).swapaxes(1, 2).reshape(grid.shape)
        says = "the patches go down columns, not along rows"
        place = f"where {name} is flattened"
        yield Prediction("position embedding order", says, place, [np.concatenate((head, turned), axis=1)])


def attention(case: Case) -> Iterator[Prediction]:
    """Queries, keys and values in another order, or split into heads first."""
    name, right, found = _value(case)
    rows = right.shape[0] if right.ndim in (1, 2) else 1
    if rows % 3 or "qkv" not in name:
        return
    parts = np.split(right, 3)
    for order in permutations(range(3)):
        if order != (0, 1, 2):
            says = f"the rows hold {', '.join(_QKV[i] for i in order)} where q, k, v are meant"
            predicted = [np.concatenate([parts[i] for i in order])]
            yield Prediction("q/k/v order", says, f"how {name} is split", predicted)
    width = rows // 3
    for heads in (each for each in range(2, width) if width % each == 0):
        shape = (3, heads, width // heads, *right.shape[1:])
        mixed = right.reshape(shape).swapaxes(0, 1).reshape(right.shape)
        says = f"rows are ordered (heads, 3, width), not (3, heads, width), with {heads} heads"
        yield Prediction("head split order", says, f"the reshape that splits {name}", [mixed])
        unmixed = right.reshape((heads, 3, *shape[2:])).swapaxes(0, 1).reshape(right.shape)
        yield Prediction("head split order", says, f"the reshape that splits {name}", [unmixed])
    for which, part in enumerate(parts):
        moved = list(parts)
        moved[which] = part + np.mean(np.split(found, 3)[which] - part)
        says = f"a constant is added to the part of {_QKV[which]}"
        if right.ndim == 1:
            yield Prediction(f"{_QKV[which]} bias shifted", says, name, [np.concatenate(moved)])


def order(case: Case) -> Iterator[Prediction]:
    """Rows or columns in another order."""
    name, right, found = _value(case)
    for axis, what in ((0, "rows"), (1, "columns")):
        if right.ndim <= axis or right.shape[axis] < 2:
            continue
        order_ = _permutation(np.moveaxis(right, axis, 0), np.moveaxis(found, axis, 0))
        if order_ is not None:
            moved = np.flatnonzero(order_ != np.arange(len(order_)))
            which = ", ".join(map(str, moved[:6])) + (", ..." if len(moved) > 6 else "")
            short = f"{what} swapped" if len(moved) == 2 else f"{what} reordered"
            says = f"{len(moved)} {what} are in another order: {which}"
            yield Prediction(short, says, f"where {name} is written", [np.take(right, order_, axis)])


def _permutation(right: Array, found: Array) -> Array | None:
    """The order in which the rows of one are those of the other; None where there is none."""
    if right.shape != found.shape:
        return None
    places: dict[bytes, list[int]] = {}
    for index, row in enumerate(right):
        places.setdefault(np.ascontiguousarray(row).tobytes(), []).append(index)
    order_ = []
    for row in found:
        waiting = places.get(np.ascontiguousarray(row).tobytes())
        if not waiting:
            return None
        order_.append(waiting.pop(0))
    return np.array(order_)


def value(case: Case) -> Iterator[Prediction]:
    """Values that are lost, moved, scaled or rounded."""
    name, right, found = _value(case)
    if right.shape != found.shape:
        return
    loading = f"how {name} is loaded"
    yield Prediction("lost", "it is all zeros", loading, [np.zeros_like(right)])
    yield Prediction("never loaded", "it is all ones, as it was initialised", loading, [np.ones_like(right)])
    for other, array in case.parameters.items():
        if other != name and array.shape == right.shape:
            yield Prediction("holds another", f"it holds the values of {other}", loading, [array])
    for dtype in (np.float16, ml_dtypes.bfloat16):
        rounded = right.astype(dtype).astype(right.dtype)
        yield Prediction("rounded", f"it went through {np.dtype(dtype).name}", loading, [rounded])
    if right.size < FITTED:
        return
    shift = float(np.mean(found.astype(np.float64) - right))
    says = f"{shift:.3g} is added to every element"
    yield Prediction("shifted", says, loading, [right + right.dtype.type(shift)])
    scale = float(np.vdot(right, found)) / max(float(np.vdot(right, right)), 1e-300)
    yield Prediction("scaled", f"it is multiplied by {scale:.6g}", loading, [right * right.dtype.type(scale)])


def differing(case: Case) -> Iterator[Evidence]:
    """Which elements of a tensor differ, or which row, where that is a small part of it: where it is, not why."""
    _, right, found = _value(case)
    if right.shape != found.shape:
        return
    wrong = right != found
    if 0 < np.count_nonzero(wrong) <= _FEW and not wrong.all():
        places = "; ".join(str(at.tolist()) for at in np.argwhere(wrong))
        yield Evidence("where", None, f"only these elements differ: {places}")
    elif right.ndim > 1 and len(right) > 1:
        rows = np.flatnonzero(wrong.reshape(len(right), -1).any(1))
        if len(rows) == 1:
            yield Evidence("where", None, f"only row {rows[0]} differs")


PARAMETER_HYPOTHESES = (orientation, tokens, attention, order, resized, value)
