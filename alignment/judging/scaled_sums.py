"""Sums and norms that neither overflow nor underflow, accumulated block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_SMALLEST_EXPONENT = -1000
_PLAIN_EXPONENTS = 300
"""Exponents of two up to which the squares of a block neither overflow in a sum nor underflow where they matter."""


class ScaledSum:
    """Sum of `|x| ** power` over all blocks, held as `total * 2 ** (power * exponent)`.

    A block of very large or very small elements is scaled by a power of two, which is exact, so that its largest one is
    about one: the squares of 1e-200 count, and those of 1e300 stay finite.

    Args:
        power: 1 for a sum of absolute values, 2 for the square of an L2 norm.
    """

    def __init__(self, power: int) -> None:
        self._power = power
        self._total = 0.0
        self._exponent = _SMALLEST_EXPONENT

    def add(self, values: npt.NDArray[np.float64], largest: float, exponent: int = 0) -> None:
        """Add a block of `values * 2 ** exponent`.

        Args:
            values: Finite, one axis; for a power of 1 none below zero.
            largest: Their largest absolute value.
            exponent: Exponent of the power of two that they were divided by.
        """
        if largest == 0:
            return
        shift = max(math.frexp(largest)[1], _SMALLEST_EXPONENT)
        if abs(shift) > _PLAIN_EXPONENTS:
            values, exponent = values * 2.0**-shift, exponent + shift
        # np.dot would start BLAS threads for every block, and wait for them longer than it computes.
        self._accumulate(float(np.einsum("i,i->", values, values) if self._power == 2 else values.sum()), exponent)

    def merge(self, other: ScaledSum) -> None:
        """Add another sum of the same power."""
        if other._total:
            self._accumulate(other._total, other._exponent)

    def _accumulate(self, total: float, exponent: int) -> None:
        if exponent > self._exponent:
            self._total = math.ldexp(self._total, self._power * (self._exponent - exponent))
            self._exponent = exponent
        self._total += math.ldexp(total, self._power * (exponent - self._exponent))

    def root(self) -> float:
        """The sum (power 1) or the norm (power 2); inf where no float64 can hold it."""
        return _ldexp(self._rooted(), self._exponent)

    def mean(self, count: int) -> float:
        """The sum of a power of 1 over a number of elements."""
        return _ldexp(self._total / count, self._exponent)

    def ratio(self, other: ScaledSum) -> float:
        """This root over another one: 0 for nothing over anything, inf for something over nothing."""
        if self._total == 0:
            return 0.0
        if other._total == 0:
            return math.inf
        return _ldexp(self._rooted() / other._rooted(), self._exponent - other._exponent)

    def _rooted(self) -> float:
        return math.sqrt(self._total) if self._power == 2 else self._total


def _ldexp(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:
        return math.inf


def distances(reference: npt.NDArray[Any], candidate: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], int]:
    """Return the absolute differences of two blocks as `(values, exponent)` of `values * 2 ** exponent`.

    Integers are subtracted without wraparound, whatever their width, and only then rounded to float64. Differences
    that no float64 can hold are returned halved, with an exponent of 1.

    Args:
        reference: Booleans, integers, or finite float64.
        candidate: The same dtype and length; values that are not finite give differences that are not.
    """
    if reference.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = np.subtract(reference, candidate)
            np.abs(values, out=values)
        if math.isfinite(values.max(initial=0.0)):
            return values, 0
        return np.abs(reference * 0.5 - candidate * 0.5), 1
    wide = np.uint64 if reference.dtype.kind in "bu" else np.int64
    one, other = reference.astype(wide), candidate.astype(wide)
    above, below = one.astype(np.uint64), other.astype(np.uint64)
    return np.where(one >= other, above - below, below - above).astype(np.float64), 0
