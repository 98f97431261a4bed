"""Tensors that two models keep in another arrangement: channels last, pixels as one axis, an axis of length one more.

A port may hold the same numbers in another shape within, and give the same outputs. So a module's tensor is compared
with the reference's as the candidate arranges it: axes in another order, then another shape.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import permutations

import numpy as np

from alignment.arrays import Array

Axes = tuple[int, ...]
_ALIKE = 0.5
"""Relative L2 of two tensors below which one is taken for the other."""
_SURE = 1e-2
"""Relative L2 below which no further order of axes is tried."""
_MOST_AXES = 5


class Arrangements:
    """The orders of axes that were found, by which those of tensors with other values are told."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Counter[Axes]] = defaultdict(Counter)

    def find(self, array: Array, expected: Array) -> Axes | None:
        """Return the order of the axes of `expected` in which its numbers are those of `array`, given its shape.

        Args:
            array: A tensor of the candidate.
            expected: The reference's, with the same number of elements in another shape.

        Returns:
            None if there is no such order.
        """
        best: tuple[float, Axes] | None = None
        known = self._known[expected.ndim, array.ndim]
        for axes in dict.fromkeys([*(axes for axes, _ in known.most_common()), *_orders(expected.ndim)]):
            error = distance(array, arranged(expected, axes, array.shape))
            if error < _ALIKE and (best is None or error < best[0]):
                best = error, axes
            if error < _SURE:
                break
        if best is None:
            return None
        known[best[1]] += 1
        return best[1]

    def usual(self, axes: int, of: int) -> Axes | None:
        """The order that was found most often for tensors of as many axes; None if none was.

        Args:
            axes: Axes of the reference's tensor.
            of: Axes of the candidate's.
        """
        known = self._known[axes, of]
        return known.most_common(1)[0][0] if known else None


def arranged(array: Array, axes: Axes, shape: tuple[int, ...]) -> Array:
    """Return the numbers of a tensor with its axes in another order, then in another shape."""
    result: Array = array.transpose(axes).reshape(shape)
    return result


def is_arranged(array: Array, expected: Array) -> bool:
    """True for tensors that can hold the same numbers in other shapes."""
    return array.shape != expected.shape and array.size == expected.size > 1 and expected.ndim <= _MOST_AXES


def distance(one: Array, other: Array) -> float:
    """Relative L2 of a tensor to another of its shape; infinite where that is no number."""
    with np.errstate(all="ignore"):
        error = float(np.linalg.norm(one.astype(np.float64) - other) / max(float(np.linalg.norm(other)), 1e-300))
    return 0.0 if np.array_equal(one, other) else error if np.isfinite(error) else np.inf


def _orders(count: int) -> Iterator[Axes]:
    """Orders of axes, unchanged ones first; of more than three axes the first, that of the batch, stays where it is."""
    if count <= 3:
        yield from permutations(range(count))
    else:
        yield from ((0, *rest) for rest in permutations(range(1, count)))
