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
    """Predict axes in another order, or running backwards."""
    name, correct, _ = _value(case)
    rule = f"the rule of {name} between the two layouts"
    if correct.ndim == 2 and correct.shape[0] == correct.shape[1]:
        says = "the weight is not transposed: torch stores (out, in), Paddle (in, out)"
        yield Prediction("not transposed", says, rule, [correct.T])
    if correct.ndim == 4 and correct.shape[2] == correct.shape[3] and correct.shape[2] > 1:
        yield Prediction("rows and columns swapped", "height and width are exchanged", rule, [correct.swapaxes(2, 3)])
        yield Prediction("kernel flipped", "the kernel is turned by 180 degrees", rule, [correct[:, :, ::-1, ::-1]])
    if correct.ndim == 4 and correct.shape[1] == 3:
        says = "the input channels are in reverse order: RGB where BGR is meant, or the other way round"
        yield Prediction("channel order", says, rule, [correct[:, ::-1]])


def tokens(case: Case) -> Iterator[Prediction]:
    """Predict embeddings of tokens in another order."""
    name, correct, _ = _value(case)
    if correct.ndim != 3 or correct.shape[0] != 1:
        return
    count = correct.shape[1]
    if count == 2:
        says = "class token and distillation token are exchanged"
        yield Prediction("class token order", says, f"where {name} is put together", [correct[:, ::-1]])
    for prefix in (0, 1, 2):
        side = round((count - prefix) ** 0.5)
        if count <= 3 or side * side != count - prefix:
            continue
        head, grid = correct[:, :prefix], correct[:, prefix:]
        if prefix:
            moved = np.concatenate((grid, head), axis=1)
            says = "the class tokens stand after the patches, not before them"
            yield Prediction("class tokens last", says, f"the order of tokens in {name}", [moved])
        turned = grid.reshape(1, side, side, -1).swapaxes(1, 2).reshape(grid.shape)
        says = "the patches go down columns, not along rows"
        place = f"where {name} is flattened"
        yield Prediction("position embedding order", says, place, [np.concatenate((head, turned), axis=1)])


def attention(case: Case) -> Iterator[Prediction]:
    """Predict queries, keys and values in another order, or split into heads first."""
    name, correct, actual = _value(case)
    rows = correct.shape[0] if correct.ndim in (1, 2) else 1
    if rows % 3 or "qkv" not in name:
        return
    parts = np.split(correct, 3)
    for order in permutations(range(3)):
        if order != (0, 1, 2):
            says = f"the rows hold {', '.join(_QKV[i] for i in order)} where q, k, v are meant"
            predicted = [np.concatenate([parts[i] for i in order])]
            yield Prediction("q/k/v order", says, f"how {name} is split", predicted)
    width = rows // 3
    for heads in (count for count in range(2, width) if width % count == 0):
        shape = (3, heads, width // heads, *correct.shape[1:])
        mixed = correct.reshape(shape).swapaxes(0, 1).reshape(correct.shape)
        says = f"rows are ordered (heads, 3, width), not (3, heads, width), with {heads} heads"
        yield Prediction("head split order", says, f"the reshape that splits {name}", [mixed])
        unmixed = correct.reshape((heads, 3, *shape[2:])).swapaxes(0, 1).reshape(correct.shape)
        yield Prediction("head split order", says, f"the reshape that splits {name}", [unmixed])
    for which, part in enumerate(parts):
        moved = list(parts)
        moved[which] = part + np.mean(np.split(actual, 3)[which] - part)
        says = f"a constant is added to the part of {_QKV[which]}"
        if correct.ndim == 1:
            yield Prediction(f"{_QKV[which]} bias shifted", says, name, [np.concatenate(moved)])


def order(case: Case) -> Iterator[Prediction]:
    """Predict rows or columns in another order."""
    name, correct, actual = _value(case)
    for axis, what in ((0, "rows"), (1, "columns")):
        if correct.ndim <= axis or correct.shape[axis] < 2:
            continue
        order_ = _permutation(np.moveaxis(correct, axis, 0), np.moveaxis(actual, axis, 0))
        if order_ is not None:
            moved = np.flatnonzero(order_ != np.arange(len(order_)))
            which = ", ".join(map(str, moved[:6])) + (", ..." if len(moved) > 6 else "")
            short = f"{what} swapped" if len(moved) == 2 else f"{what} reordered"
            says = f"{len(moved)} {what} are in another order: {which}"
            yield Prediction(short, says, f"where {name} is written", [np.take(correct, order_, axis)])


def _permutation(correct: Array, actual: Array) -> Array | None:
    """Return the order in which the rows of one are those of the other; None if there is none."""
    if correct.shape != actual.shape:
        return None
    places: dict[bytes, list[int]] = {}
    for index, row in enumerate(correct):
        places.setdefault(np.ascontiguousarray(row).tobytes(), []).append(index)
    order_ = []
    for row in actual:
        waiting = places.get(np.ascontiguousarray(row).tobytes())
        if not waiting:
            return None
        order_.append(waiting.pop(0))
    return np.array(order_)


def value(case: Case) -> Iterator[Prediction]:
    """Predict values that are lost, moved, scaled or rounded."""
    name, correct, actual = _value(case)
    if correct.shape != actual.shape:
        return
    loading = f"how {name} is loaded"
    yield Prediction("lost", "it is all zeros", loading, [np.zeros_like(correct)])
    yield Prediction("never loaded", "it is all ones, as it was initialised", loading, [np.ones_like(correct)])
    for other, array in case.parameters.items():
        if other != name and array.shape == correct.shape:
            yield Prediction("holds another", f"it holds the values of {other}", loading, [array])
    for dtype in (np.float16, ml_dtypes.bfloat16):
        rounded = correct.astype(dtype).astype(correct.dtype)
        yield Prediction("rounded", f"it went through {np.dtype(dtype).name}", loading, [rounded])
    if correct.size < FITTED:
        return
    shift = float(np.mean(actual.astype(np.float64) - correct))
    says = f"{shift:.3g} is added to every element"
    yield Prediction("shifted", says, loading, [correct + correct.dtype.type(shift)])
    scale = float(np.vdot(correct, actual)) / max(float(np.vdot(correct, correct)), 1e-300)
    yield Prediction("scaled", f"it is multiplied by {scale:.6g}", loading, [correct * correct.dtype.type(scale)])


def differing(case: Case) -> Iterator[Evidence]:
    """Yield which elements of a tensor differ, or which row, if that is a small part of it."""
    _, correct, actual = _value(case)
    if correct.shape != actual.shape:
        return
    wrong = correct != actual
    if 0 < np.count_nonzero(wrong) <= _FEW and not wrong.all():
        places = "; ".join(str(at.tolist()) for at in np.argwhere(wrong))
        yield Evidence("where", None, f"only these elements differ: {places}")
    elif correct.ndim > 1 and len(correct) > 1:
        rows = np.flatnonzero(wrong.reshape(len(correct), -1).any(1))
        if len(rows) == 1:
            yield Evidence("where", None, f"only row {rows[0]} differs")


PARAMETER_HYPOTHESES = (orientation, tokens, attention, order, resized, value)
