"""Matrices whose rows are in another order."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.bisection.evidence import in_another_order

MATRIX = np.random.default_rng(2).standard_normal((6, 4)).astype(np.float32)
SQUARE = MATRIX[:4]


@pytest.mark.parametrize(
    ("reference", "candidate", "expected"),
    [
        (MATRIX, MATRIX[[1, 0, 2, 3, 4, 5]], True),
        (MATRIX, MATRIX[[1, 0, 2, 3, 4, 5]].T, True),
        (MATRIX, MATRIX, False),
        (MATRIX, MATRIX.T, False),
        (SQUARE, SQUARE.T, False),
        (SQUARE, SQUARE[[1, 0, 2, 3]].T.astype(np.float64), True),
        (MATRIX, MATRIX[:, [1, 0, 2, 3]], False),
        (MATRIX, MATRIX[:5], False),
    ],
)
def test_rows_in_another_order_are_told_from_other_matrices(reference: Array, candidate: Array, expected: bool) -> None:
    assert in_another_order(reference, candidate) is expected
