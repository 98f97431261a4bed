"""Two sets of arrays in, measurements out. NumPy only, block by block, and failing closed.

What cannot be compared is never skipped, cast, broadcast, transposed or wrapped around to fit: the measurement carries
a `problem` instead, and a quantity with a problem diverges, whatever the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from alignment.errors import NothingComparedError
from alignment.scaled import ScaledSum, distances
from porting.names import nearest

Array: TypeAlias = npt.NDArray[Any]

_BLOCK = 2**17
_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, slots=True)
class Element:
    """One element of two arrays: where it is and what each side holds there."""

    index: tuple[int, ...]
    reference: float | int | bool
    candidate: float | int | bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """How far a candidate's array is from the reference's.

    All numbers are NaN where there is a problem, so that no comparison with a limit can pass by accident.

    Attributes:
        problem: Why the two cannot be compared or must not pass, in words; None where the numbers say it all.
        count: Number of elements.
        differing: Number of elements that are not equal.
        mean_abs: Mean absolute difference.
        max_abs: Largest absolute difference.
        l2: L2 norm of the difference.
        rel_l2: `l2` over the L2 norm of the reference; 0 where nothing differs, inf where the reference is all zero
            and the candidate is not.
        reference_l2: L2 norm of the reference.
        reference_max: Largest absolute value of the reference.
        worst: The element that differs most, or the first that is not finite; None where all are equal.
    """

    problem: str | None = None
    count: int = 0
    differing: int = 0
    mean_abs: float = math.nan
    max_abs: float = math.nan
    l2: float = math.nan
    rel_l2: float = math.nan
    reference_l2: float = math.nan
    reference_max: float = math.nan
    worst: Element | None = None

    @property
    def identical(self) -> bool:
        """Whether both sides hold the same values, all of them finite, at least one."""
        return self.problem is None and self.count > 0 and self.differing == 0


def compare(
    reference: Mapping[str, Array], candidate: Mapping[str, Array], *, squeeze: bool = False
) -> dict[str, Measurement]:
    """Measure every key that either side has, the reference's order first.

    Args:
        reference: Arrays by key; read one at a time, so a lazy mapping (a `Recording`) stays on disk.
        candidate: The same keys, or else each that is missing or extra is a measurement with a problem.
        squeeze: Let shapes differ by axes of length one.

    Raises:
        NothingComparedError: neither side has a key.
    """
    keys = list(dict.fromkeys((*reference, *candidate)))
    if not keys:
        raise NothingComparedError("nothing to compare: neither side holds a single array")
    return {key: compare_key(key, reference, candidate, squeeze=squeeze) for key in keys}


def compare_key(
    key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array], *, squeeze: bool = False
) -> Measurement:
    """Measure one key, which at least one side has."""
    if key not in candidate:
        return Measurement(_absent("candidate", key, candidate))
    if key not in reference:
        return Measurement(_absent("reference", key, reference))
    return measure(reference[key], candidate[key], squeeze=squeeze)


def measure(reference: Array, candidate: Array, *, squeeze: bool = False, mixed: bool = False) -> Measurement:
    """Measure one array against another in float64, or exactly for integers, in bounded memory.

    Args:
        reference: Booleans, integers or floats of any shape.
        candidate: The same shape and dtype, or the measurement has a problem. NaN and infinities are a problem on
            either side, equal or not.
        squeeze: Let shapes differ by axes of length one.
        mixed: Let floating-point dtypes differ, to hold a float32 result against a float64 one.
    """
    problem = _shape_problem(reference.shape, candidate.shape, squeeze) or _dtype_problem(reference, candidate, mixed)
    if problem is None and reference.size == 0:
        problem = f"nothing to compare: shape {_shape(reference.shape)} has no elements"
    if problem is not None:
        return Measurement(problem)
    return _Meter(reference.shape).run(reference.reshape(-1), candidate.reshape(-1))


class _Meter:
    """Accumulates one measurement over the blocks of two flat arrays."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._differing = 0
        self._max_abs = 0.0
        self._reference_max = 0.0
        self._worst: int | None = None
        self._sum, self._difference, self._norm = ScaledSum(1), ScaledSum(2), ScaledSum(2)

    def run(self, reference: Array, candidate: Array) -> Measurement:
        for begin in range(0, reference.size, _BLOCK):
            blocks = _native(reference[begin : begin + _BLOCK]), _native(candidate[begin : begin + _BLOCK])
            if not all(np.isfinite(block).all() for block in blocks):
                return _not_finite(reference, candidate, self._shape)
            self._add(begin, *blocks)
        worst = None if self._worst is None else _element(self._worst, reference, candidate, self._shape)
        return Measurement(
            count=reference.size,
            differing=self._differing,
            mean_abs=self._sum.mean(reference.size),
            max_abs=self._max_abs,
            l2=self._difference.root(),
            rel_l2=self._difference.ratio(self._norm),
            reference_l2=self._norm.root(),
            reference_max=self._reference_max,
            worst=worst,
        )

    def _add(self, begin: int, reference: Array, candidate: Array) -> None:
        magnitudes = np.abs(reference.astype(np.float64))
        largest = float(magnitudes.max())
        self._norm.add(magnitudes, largest)
        self._reference_max = max(self._reference_max, largest)
        differing = int(np.count_nonzero(reference != candidate))
        if differing:
            self._differing += differing
            self._add_difference(begin, *distances(reference, candidate))

    def _add_difference(self, begin: int, values: npt.NDArray[np.float64], exponent: int) -> None:
        at = int(values.argmax())
        largest = float(values[at])
        self._sum.add(values, largest, exponent)
        self._difference.add(values, largest, exponent)
        full = largest * 2.0**exponent
        if self._worst is None or full > self._max_abs:
            self._max_abs, self._worst = full, begin + at


def _native(block: Array) -> Array:
    """Floats as float64, which holds every one of them exactly; integers and booleans as they are."""
    return block.astype(np.float64) if block.dtype.name in _FLOATS else block


def _not_finite(reference: Array, candidate: Array, shape: tuple[int, ...]) -> Measurement:
    counts, first = [], reference.size
    for side, array in (("reference", reference), ("candidate", candidate)):
        for name, test in (("NaN", np.isnan), ("infinite", np.isinf)):
            count = 0
            for begin in range(0, array.size, _BLOCK):
                found = np.flatnonzero(test(_native(array[begin : begin + _BLOCK])))
                count += found.size
                first = min(first, begin + int(found[0])) if found.size else first
            if count:
                counts.append(f"{count} {name} in the {side}")
    element = _element(first, reference, candidate, shape)
    problem = f"{', '.join(counts)} of {reference.size} elements, first at {list(element.index)}"
    return Measurement(problem, count=reference.size, worst=element)


def _element(flat: int, reference: Array, candidate: Array, shape: tuple[int, ...]) -> Element:
    index = tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()
    return Element(index, reference[flat].item(), candidate[flat].item())


def _absent(side: str, key: str, keys: Mapping[str, Array]) -> str:
    close = nearest(key, keys)
    return f"missing from the {side}" + (f"; the nearest key there is {close[0]!r}" if close else "")


def _shape_problem(reference: tuple[int, ...], candidate: tuple[int, ...], squeeze: bool) -> str | None:
    if reference == candidate:
        return None
    found = f"shape {_shape(reference)} in the reference, {_shape(candidate)} in the candidate"
    if [n for n in reference if n != 1] == [n for n in candidate if n != 1]:
        return None if squeeze else f"{found}; they differ by axes of length one only: --squeeze lets that pass"
    if reference == candidate[::-1]:
        return f"{found}; the candidate may be transposed"
    return found


def _dtype_problem(reference: Array, candidate: Array, mixed: bool) -> str | None:
    for side, array in (("reference", reference), ("candidate", candidate)):
        if array.dtype.kind not in "biu" and array.dtype.name not in _FLOATS:
            return f"dtype {array.dtype} in the {side} cannot be compared"
    if reference.dtype.newbyteorder("=") == candidate.dtype.newbyteorder("="):
        return None
    if mixed and reference.dtype.name in _FLOATS and candidate.dtype.name in _FLOATS:
        return None
    return f"dtype {reference.dtype.name} in the reference, {candidate.dtype.name} in the candidate"


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
