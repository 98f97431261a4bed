"""Measures how far two long arrays are apart, block by block on up to four processors, in bounded memory.

Arrays are cut into segments of a fixed size, which threads measure and whose results are added up in their order, so
that the numbers do not depend on how many threads there are.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from alignment.arrays import FLOATS, Array
from alignment.judging.scaled_sums import ScaledSum, distances
from porting import processors
from porting.checkpoint.file.source import release_pages

BLOCK = 2**17
"""Elements that are measured at once: their float64 copies stay in the cache."""
SEGMENT = 2**19
"""Elements that one thread measures at a time."""
_MOST_THREADS = 4


class NotFiniteError(ArithmeticError):
    """An array holds NaN or infinities."""


class Meter:
    """Sums and extremes of the elements measured so far.

    Attributes:
        differing: Number of elements that are not equal.
        max_abs: Largest absolute difference.
        worst: Index of the element that differs most, the first of several; None where all are equal.
        reference_max: Largest absolute value of the reference.
        sum: Sum of the absolute differences.
        difference: Sum of their squares.
        norm: Sum of the reference's squares.
    """

    def __init__(self) -> None:
        self.differing = 0
        self.max_abs = 0.0
        self.worst: int | None = None
        self.reference_max = 0.0
        self.sum, self.difference, self.norm = ScaledSum(1), ScaledSum(2), ScaledSum(2)

    def add(self, begin: int, reference: Array, candidate: Array) -> None:
        """Add a block.

        Args:
            begin: Index of its first element.
            reference: Numbers, one axis, at least one.
            candidate: The same number of them, of a dtype that compares with the reference's without rounding.

        Raises:
            NotFiniteError: One of them holds NaN or infinities.
        """
        differing = int(np.count_nonzero(reference != candidate))
        wide = _native(reference)
        largest = max(float(wide.max()), -float(wide.min()))  # NaN wins, whatever else there is
        if not math.isfinite(largest):
            raise NotFiniteError
        self.norm.add(wide if wide.dtype.kind == "f" else wide.astype(np.float64), largest)
        self.reference_max = max(self.reference_max, largest)
        if differing:
            self.differing += differing
            values, exponent = distances(wide, _native(candidate))
            at = int(values.argmax())
            largest = float(values[at])
            if not math.isfinite(largest):
                raise NotFiniteError
            self.sum.add(values, largest, exponent)
            self.difference.add(values, largest, exponent)
            full = largest * 2.0**exponent
            if self.worst is None or full > self.max_abs:
                self.max_abs, self.worst = full, begin + at

    def merge(self, later: Meter) -> None:
        """Add the sums and extremes of the elements that come after these."""
        self.differing += later.differing
        self.reference_max = max(self.reference_max, later.reference_max)
        if later.worst is not None and (self.worst is None or later.max_abs > self.max_abs):
            self.max_abs, self.worst = later.max_abs, later.worst
        for one, other in ((self.sum, later.sum), (self.difference, later.difference), (self.norm, later.norm)):
            one.merge(other)


def metered(reference: Array, candidate: Array) -> Meter:
    """Measure two arrays of one axis and the same length, at least one element.

    Raises:
        NotFiniteError: One of them holds NaN or infinities.
    """
    begins = range(0, reference.size, SEGMENT)
    if len(begins) == 1:
        return _segment(reference, candidate, 0)
    total = Meter()
    with ThreadPoolExecutor(min(_MOST_THREADS, processors.available())) as pool:
        for meter in pool.map(lambda begin: _segment(reference, candidate, begin), begins):
            total.merge(meter)
    return total


def _segment(reference: Array, candidate: Array, begin: int) -> Meter:
    meter = Meter()
    end = min(begin + SEGMENT, reference.size)
    for start in range(begin, end, BLOCK):
        stop = min(start + BLOCK, end)
        meter.add(start, reference[start:stop], candidate[start:stop])
    for array in (reference, candidate):
        release_pages(array[begin:end])
    return meter


def _native(block: Array) -> Array:
    """Floats as float64, which holds every one of them exactly; integers and booleans as they are."""
    with np.errstate(invalid="ignore"):  # NumPy warns of signalling NaNs, which are counted like all others
        return block.astype(np.float64, copy=False) if block.dtype.name in FLOATS else block
