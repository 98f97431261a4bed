"""Orders within the rows of weights that the code of a module takes otherwise than the reference's does.

The weights are right; the code reads them in another order. With their rows in that order the module gives what the
reference's gives: which names the order, however the code is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Bench, Weight
from alignment.hypotheses.calls.sites import outcome

_MOST_LINEARS = 8
_QKV = ("q", "k", "v")
_PAIRS = "its rotary positions turn neighbouring pairs, but the rows of q and k are ordered for halves of a head"
_HALVES = "its rotary positions turn the halves of a head, but the rows of q and k are ordered for neighbouring pairs"
_EITHER = "its rotary positions turn neighbouring pairs or halves, but the rows of q and k are ordered for the other"


def reordered(case: Case, bench: Bench) -> Iterator[Prediction]:
    """Yield what a module gives with its Linears exchanged, and an attention with their rows in another order.

    Raises:
        OutOfTimeError: The time for trials is over.
    """
    linears: dict[str, dict[str, Weight]] = {}
    for name, weight in bench.weights.items():
        linears.setdefault(weight.path, {})[name] = weight
    attends = any(call.name in ("softmax", "scaled_dot_product_attention") for call in bench.calls)
    if len(linears) > _MOST_LINEARS:
        return
    sizes = _sizes(bench) if attends else []
    for name, says, look_at, changed in (
        *(_fused(case, linears, sizes) if attends else ()),
        *_rotary(case, linears, sizes),
        *_exchanged(case, linears),
    ):
        result = outcome(bench, weights=changed)
        if result is not None:
            yield Prediction(name, says, look_at, result.outputs, case.found, case.expected)


def _sizes(bench: Bench) -> list[int]:
    """Numbers of heads and sizes of heads, by the shapes of what is multiplied."""
    products = [
        call for call in bench.calls if call.name in ("matmul", "bmm", "einsum", "scaled_dot_product_attention")
    ]
    shapes = [shape for call in products for shape in (*call.takes, *call.gives) if len(shape) == 4]
    return sorted({size for shape in shapes for size in shape[1:] if size > 1})


Changed = tuple[str, str, str, Mapping[str, Array]]


def _rows(linear: Mapping[str, Weight], order: Array) -> dict[str, Array]:
    return {name: np.take(weight.array, order, weight.axis) for name, weight in linear.items()}


def _count(linear: Mapping[str, Weight]) -> int:
    return min(int(weight.array.shape[weight.axis]) for weight in linear.values())


def _fused(case: Case, linears: Mapping[str, dict[str, Weight]], sizes: Sequence[int]) -> Iterator[Changed]:
    """Queries, keys and values of one Linear in another order, or head by head."""
    for path, linear in linears.items():
        count = _count(linear)
        if count % 3:
            continue
        rows, place = np.arange(count), case.place(f"how what {path} gives is split", "in")
        for order in list(permutations(range(3)))[1:]:
            says = f"what {path} gives is taken for {', '.join(_QKV[order.index(i)] for i in range(3))}, "
            says += "where it is q, k, v"
            yield "q/k/v order", says, place, _rows(linear, rows.reshape(3, -1)[list(order)].reshape(-1))
        for heads in (size for size in sizes if count // 3 % size == 0):
            for axes in list(permutations(range(3)))[1:]:
                parts = ("3", "heads", "width")
                words = ", ".join(parts[axis] for axis in axes)
                says = f"what {path} gives is split as ({words}), where it is (3, heads, width), with {heads} heads"
                moved = rows.reshape(3, heads, -1).transpose(axes).reshape(-1)
                yield "head split order", says, place, _rows(linear, moved)


def _rotary(case: Case, linears: Mapping[str, dict[str, Weight]], sizes: Sequence[int]) -> Iterator[Changed]:
    """Queries and keys whose pairs are neighbours on one side and halves of a head on the other."""
    place = case.place("where cosines and sines are multiplied", "in")
    for size in (size for size in sizes if size % 2 == 0 and size > 2):
        fitting = [linear for linear in linears.values() if _count(linear) % size == 0]
        for says, split, axes in ((_PAIRS, (2, size // 2), (0, 2, 1)), (_HALVES, (size // 2, 2), (0, 2, 1))):

            def moved(
                linear: Mapping[str, Weight],
                share: int = 1,
                split: tuple[int, ...] = split,
                axes: tuple[int, ...] = axes,
            ) -> dict[str, Array]:
                rows = np.arange(_count(linear))
                turned = rows[: len(rows) // 3 * share] if share > 1 else rows
                order = turned.reshape(-1, *split).transpose(axes).reshape(-1)
                return _rows(linear, np.concatenate((order, rows[len(order) :])))

            says = _EITHER if size == 4 else says  # one reordering is the other then
            words = f"{says} (size {size}): turn as the weights are ordered, or reorder them"
            for one, other in combinations(fitting, 2):
                yield "rotary order", words, place, {**moved(one), **moved(other)}
            for linear in fitting:
                if _count(linear) % (3 * size) == 0:
                    yield "rotary order", words, place, moved(linear, 2)


def _exchanged(case: Case, linears: Mapping[str, dict[str, Weight]]) -> Iterator[Changed]:
    """Two Linears of one shape in each other's place."""
    for (one, first), (other, second) in combinations(linears.items(), 2):
        names = {name: name.replace(one, other, 1) for name in first}
        if set(names.values()) != set(second):
            continue
        if all(first[name].array.shape == second[twin].array.shape for name, twin in names.items()):
            changed = {twin: first[name].array for name, twin in names.items()}
            changed |= {name: second[twin].array for name, twin in names.items()}
            says = f"what {one} and {other} give is exchanged"
            yield "q/k/v order", says, case.place(f"where {one} and {other} are used", "in"), changed
