"""Pairs of files that a check must tell apart, and pairs that it must not.

Each pair has the arrays of both sides by key. The wrong pairs are known to pass in comparisons; the right ones differ
by rounding or not at all. `tests/alignment/judging/test_measuring.py` runs our own comparison on all of them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = dict[str, Array]

ONES = np.ones(8, np.float32)
_MANY, _TEN_THOUSAND = np.ones(1_500_000, np.float32), np.ones(10_000, np.float32)
_MATRIX = np.arange(24, dtype=np.float32).reshape(4, 6)


def changed(array: Array, index: int, value: float) -> Array:
    """A copy with one element replaced."""
    copy = array.copy()
    copy[index] = value
    return copy


WRONG_PAIRS: dict[str, tuple[Arrays, Arrays]] = {
    "nan in the port only": ({"x": ONES}, {"x": changed(ONES, 3, np.nan)}),
    "nan in both beside a 1e9 error": (
        {"x": changed(ONES, 3, np.nan)},
        {"x": changed(changed(ONES, 3, np.nan), 5, 1e9)},
    ),
    "nan everywhere": ({"x": ONES * np.nan}, {"x": ONES * np.nan}),
    "inf in both beside an error of 99": (
        {"x": changed(ONES, 3, np.inf)},
        {"x": changed(changed(ONES, 3, np.inf), 5, 100)},
    ),
    "transposed": ({"x": _MATRIX}, {"x": np.ascontiguousarray(_MATRIX.T)}),
    "broadcast": ({"x": np.ones((1, 6))}, {"x": np.ones((8, 6))}),
    "scalar against vector": ({"x": np.ones(())}, {"x": np.ones(5)}),
    "rows permuted": ({"x": _MATRIX}, {"x": _MATRIX[[1, 0, 2, 3]]}),
    "one error in 1.5 million": ({"x": _MANY}, {"x": changed(_MANY, 777, 2)}),
    "0.9 off in one of 10000": ({"x": _TEN_THOUSAND}, {"x": changed(_TEN_THOUSAND, 5, 0.1)}),
    "lost gradient": ({"x": ONES * np.float32(9e-7)}, {"x": ONES * 0}),
    "int8 wraps": ({"x": np.array([-64], np.int8)}, {"x": np.array([64], np.int8)}),
    "int64 wraps": ({"x": np.array([2**63 - 1])}, {"x": np.array([-1])}),
    "float64 against float16": ({"x": ONES.astype("f8")}, {"x": ONES.astype("f2")}),
    "key missing": ({"x": ONES, "x2": ONES}, {"x2": ONES}),
    "key extra": ({"x2": ONES}, {"x": ONES, "x2": ONES}),
    "both files empty": ({}, {}),
}
"""Reference and candidate by name of the pair; the candidate is no port of the reference."""


def _products() -> tuple[Array, Array]:
    """One float32 product of matrices, summed from both ends; its elements are near 1e3, like large activations."""
    draws = np.random.default_rng(0)
    left = (30 * draws.standard_normal((16, 1024))).astype(np.float32)
    right = draws.standard_normal((1024, 64)).astype(np.float32)
    return left @ right, np.ascontiguousarray(left[:, ::-1]) @ np.ascontiguousarray(right[::-1])


def _right() -> dict[str, tuple[Arrays, Arrays]]:
    large = np.array([123456.78], np.float32)
    one, other = _products()
    return {
        "equal": ({"x": _MATRIX}, {"x": _MATRIX.copy()}),
        "one unit in the last place of 123456.78": ({"x": large}, {"x": np.nextafter(large, np.float32(np.inf))}),
        "one product of matrices, summed in another order": ({"x": one}, {"x": other}),
    }


RIGHT_PAIRS = _right()
"""Reference and candidate by name of the pair; the candidate is a port of the reference."""
