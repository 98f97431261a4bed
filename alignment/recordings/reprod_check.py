"""Computes with NumPy alone the result of reprod_log's own check of two arrays: its numbers, and what it lets pass.

Source: `compute_diff` and `check_print_diff` of reprod_log 1.0.1. It knows one number, the mean absolute difference in
whatever precision NumPy subtracts the two arrays in, and passes unless that is larger than 1e-6. So NaN passes; where
the shapes differ, arrays are transposed or broadcast to fit; integers wrap around.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from alignment.arrays import Array

THRESHOLD = 1e-6
"""reprod_log's default for the mean absolute difference."""
_LARGEST = 2**24
"""Most elements that two arrays are broadcast to: labels of shape (N,) and (N, 1) would make N times N of them."""


@dataclass(frozen=True, slots=True)
class MeanCheck:
    """reprod_log's own result for one quantity.

    Attributes:
        passed: True if its default check passes.
        mean: Its mean absolute difference; None if it computes none.
        max: Its largest absolute difference; likewise.
        min: Its smallest absolute difference; likewise.
        remark: How it made the two fit, or why it could not compare them; empty otherwise.
    """

    passed: bool
    mean: float | None = None
    max: float | None = None
    min: float | None = None
    remark: str = ""


def check_arrays(reference: Array, candidate: Array) -> MeanCheck:
    """Return the numbers that reprod_log logs for two arrays, bit by bit, and whether it passes.

    Args:
        reference: The first file's array, of any shape and dtype.
        candidate: The second file's array.
    """
    shapes = reference.shape, candidate.shape
    remark = f"broadcasts {shapes[0]} and {shapes[1]}" if shapes[0] != shapes[1] else ""
    if remark and shapes[0][::-1] == shapes[1]:
        reference, remark = reference.transpose(), f"transposes {shapes[0]} to {shapes[1]}"
    if not (reference.size and candidate.size):
        return MeanCheck(False, remark="raises an error: there are no elements to compare")
    try:
        shape = np.broadcast_shapes(reference.shape, candidate.shape)
        if prod(shape) > max(_LARGEST, reference.size, candidate.size):
            return MeanCheck(False, remark=f"{remark} to {shape}: too large to be computed here")
        with np.errstate(all="ignore"):
            difference = np.abs(reference - candidate)
            mean, largest, least = (float(value) for value in (difference.mean(), difference.max(), difference.min()))
    except (ValueError, TypeError) as error:
        return MeanCheck(False, remark=f"raises an error: {error}")
    return MeanCheck(not mean > THRESHOLD, mean, largest, least, _remark(remark, mean, reference, candidate))


def check_key(key: str, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> MeanCheck:
    """As `check_arrays`, of a key that at least one side has."""
    for side, arrays in (("first", reference), ("second", candidate)):
        if key not in arrays:
            return MeanCheck(False, remark=f"raises an error that names no key: the {side} file lacks this one")
    return check_arrays(reference[key], candidate[key])


def _remark(fitting: str, mean: float, reference: Array, candidate: Array) -> str:
    """Return why the computed numbers prove little, after how the arrays were made to fit."""
    parts = [fitting] if fitting else []
    if np.isnan(mean):
        parts.append("the mean is NaN, which is not above the threshold")
    if reference.dtype != candidate.dtype:
        parts.append(f"subtracts {candidate.dtype.name} from {reference.dtype.name}")
    elif reference.dtype.kind in "iu" and _wraps(reference, candidate):
        parts.append(f"differences wrap around in {reference.dtype.name}")
    return "; ".join(parts)


def _wraps(reference: Array, candidate: Array) -> bool:
    """Return whether NumPy's difference of two integer arrays of one dtype is wrong anywhere."""
    wrapped = np.abs(reference - candidate)
    spread = np.abs(reference.astype(np.float64) - candidate.astype(np.float64))
    return bool((np.abs(spread - wrapped.astype(np.float64)) > spread / 2).any())
