"""Constants of a user's models: buffers that no optimiser and no batch changes, such as masks, indices and means.

Each side builds its own, and they are part of its function. Where weights are drawn, the candidate is given those of
the reference with them, which would hide that its own are others; so what each side has built is recorded beside.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.pair.contract import Contract

_ROUNDING = 4e-7
"""What rounding explains of constants that both sides compute in float32, relative to the largest."""


def same_but_for_rounding(reference: Array, candidate: Array) -> bool:
    """Whether two arrays are one constant, computed by two frameworks; integers and infinities if they are equal."""
    if reference.shape != candidate.shape or reference.dtype.kind != candidate.dtype.kind:
        return False
    if reference.dtype.kind != "f":
        return np.array_equal(reference, candidate)
    finite = np.isfinite(reference)
    if not np.array_equal(reference[~finite], candidate[~finite], equal_nan=True):
        return False
    error = np.abs(reference[finite].astype(np.float64) - candidate[finite])
    largest = np.abs(reference[finite]).max(initial=0.0)
    return bool(np.all(error <= _ROUNDING * largest))


def recordable(array: Array, expected: Array) -> Array:
    """A constant as a recording has it: integers of one width, floats in float32, their bits where some are not finite.

    Args:
        array: What a side has.
        expected: What the reference has, whose form decides for both sides.
    """
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    if array.dtype.kind != "f":
        return array
    array, expected = (constant.astype(np.float32, copy=False) for constant in (array, expected))
    if same_but_for_rounding(expected, array):
        array = expected
    return array if np.isfinite(expected).all() else np.ascontiguousarray(array).view(np.uint32)


def remarks(contract: Contract, *, of_file: bool) -> Iterator[str]:
    """What the reader of a report must know of the constants, as both sides have built them.

    Args:
        contract: Of the pair.
        of_file: Whether the weights are those of a file, which holds the constants.
    """
    other, rounded = [], []
    for name, (theirs, ours) in contract.built.items():
        if not same_but_for_rounding(theirs, ours):
            other.append(name)
        elif not np.array_equal(theirs, ours, equal_nan=theirs.dtype.kind == "f"):
            rounded.append(name)
    if other:
        ways = "both sides run on those of the weight file" if of_file else "both sides run on the reference's"
        yield f"the candidate builds other constants than the reference: {', '.join(other)}; {ways}"
    if rounded:
        yield f"constants that the candidate builds are the reference's but for rounding: {', '.join(rounded)}"
    if contract.empty:
        yield f"tensors without elements are not compared: {', '.join(contract.empty)}"
