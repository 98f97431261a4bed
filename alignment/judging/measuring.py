"""Measures how far the arrays of two sides are apart, with NumPy only, block by block, and failing closed.

What cannot be compared is never skipped, cast, broadcast, transposed or wrapped around to fit: the measurement carries
a `problem` instead, and a quantity with a problem diverges, whatever the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from alignment.arrays import FLOATS, Array
from alignment.errors import NothingComparedError
from alignment.judging.meter import BLOCK, NotFiniteError, metered
from porting.names import nearest


@dataclass(frozen=True, slots=True)
class Element:
    """One element of two arrays: its index and both values."""

    index: tuple[int, ...]
    reference: float | int | bool
    candidate: float | int | bool

    @property
    def difference(self) -> float:
        """The candidate's value minus the reference's."""
        return self.candidate - self.reference


@dataclass(frozen=True, slots=True)
class Measurement:
    """How far a candidate's array is from the reference's.

    All numbers are NaN where there is a problem, so that no comparison with a limit can pass by accident.

    Attributes:
        problem: Why the two cannot be compared or must not pass, in words; None if they can be compared.
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
        arrays: Both arrays, one axis each, for what the largest elements hide; None for integers.
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
    arrays: tuple[Array, Array] | None = field(default=None, compare=False, repr=False)


def compare(
    reference: Mapping[str, Array], candidate: Mapping[str, Array], *, squeeze: bool = False
) -> dict[str, Measurement]:
    """Measure every key that either side has, the reference's order first.

    Args:
        reference: Arrays by key; read one at a time, so a lazy mapping (a `Recording`) stays on disk.
        candidate: Arrays by key; a key that is missing or extra becomes a measurement with a problem.
        squeeze: Let shapes differ by axes of length one.

    Raises:
        NothingComparedError: Neither side has a key.
    """
    keys = list(dict.fromkeys((*reference, *candidate)))
    if not keys:
        raise NothingComparedError("nothing to compare: neither side holds a single array")
    return {key: compare_key(key, reference, candidate, squeeze=squeeze) for key in keys}


def compare_key(
    key: str,
    reference: Mapping[str, Array],
    candidate: Mapping[str, Array],
    *,
    squeeze: bool = False,
    mixed: bool = False,
    infinities: bool = False,
) -> Measurement:
    """Measure one key, which at least one side has; the arguments are those of `measure`."""
    if key not in candidate:
        return Measurement(_absent("candidate", key, candidate))
    if key not in reference:
        return Measurement(_absent("reference", key, reference))
    return measure(reference[key], candidate[key], squeeze=squeeze, mixed=mixed, infinities=infinities)


def measure(
    reference: Array, candidate: Array, *, squeeze: bool = False, mixed: bool = False, infinities: bool = False
) -> Measurement:
    """Measure one array against another in float64, or exactly for integers, in bounded memory.

    Args:
        reference: Booleans, integers or floats of any shape.
        candidate: The same shape and dtype, or the measurement has a problem. NaN and infinities are a problem on
            either side, equal or not.
        squeeze: Let shapes differ by axes of length one.
        mixed: Let floating-point dtypes differ, to compare a float32 result with a float64 one.
        infinities: Let both sides have the same infinities at the same places, as a mask fills them in; all other
            elements are measured. There must be some.
    """
    problem = _shape_problem(reference.shape, candidate.shape, squeeze) or _dtype_problem(reference, candidate, mixed)
    if problem is None and reference.size == 0:
        problem = f"nothing to compare: shape {_shape(reference.shape)} has no elements"
    if problem is not None:
        return Measurement(problem)
    shape, reference, candidate = reference.shape, reference.reshape(-1), candidate.reshape(-1)
    try:
        meter = metered(reference, candidate)
    except NotFiniteError:
        same = np.isinf(reference) & (reference == candidate) if infinities else np.zeros(1, np.bool_)
        if not same.any() or same.all():
            return _not_finite(reference, candidate, shape)
        finite = (np.where(same, array.dtype.type(0), array).reshape(shape) for array in (reference, candidate))
        return measure(*finite, mixed=mixed)
    return Measurement(
        count=reference.size,
        differing=meter.differing,
        mean_abs=meter.sum.mean(reference.size),
        max_abs=meter.max_abs,
        l2=meter.difference.root(),
        rel_l2=meter.difference.ratio(meter.norm),
        reference_l2=meter.norm.root(),
        reference_max=meter.reference_max,
        worst=None if meter.worst is None else _element(meter.worst, reference, candidate, shape),
        arrays=(reference, candidate) if reference.dtype.name in FLOATS else None,
    )


def _not_finite(reference: Array, candidate: Array, shape: tuple[int, ...]) -> Measurement:
    counts, first = [], reference.size
    for side, array in (("reference", reference), ("candidate", candidate)):
        for name, test in (("NaN", np.isnan), ("infinite", np.isinf)):
            count = 0
            for begin in range(0, array.size, BLOCK):
                places = np.flatnonzero(test(array[begin : begin + BLOCK]))
                count += places.size
                first = min(first, begin + int(places[0])) if places.size else first
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
    shapes = f"shape {_shape(reference)} in the reference, {_shape(candidate)} in the candidate"
    if [n for n in reference if n != 1] == [n for n in candidate if n != 1]:
        return None if squeeze else f"{shapes}; they differ by axes of length one only: --squeeze lets that pass"
    if reference == candidate[::-1]:
        return f"{shapes}; the candidate may be transposed"
    return shapes


def _dtype_problem(reference: Array, candidate: Array, mixed: bool) -> str | None:
    for side, array in (("reference", reference), ("candidate", candidate)):
        if array.dtype.kind not in "biu" and array.dtype.name not in FLOATS:
            return f"dtype {array.dtype} in the {side} cannot be compared"
    if reference.dtype.newbyteorder("=") == candidate.dtype.newbyteorder("="):
        return None
    if mixed and reference.dtype.name in FLOATS and candidate.dtype.name in FLOATS:
        return None
    return f"dtype {reference.dtype.name} in the reference, {candidate.dtype.name} in the candidate"


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
