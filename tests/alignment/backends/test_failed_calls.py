"""The error of a model that fails names the remedy that its message calls for."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.backends.calling import ONLY, failed

WHOLE = "it wants whole numbers; say below which: tokens=30522"
SHAPE = "if the model refuses this shape, change it there"


def call(x: object) -> None:
    """Stand for a model."""


@pytest.mark.parametrize(
    ("message", "dtype", "remedy"),
    [
        ("Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int", "f4", WHOLE),
        ("(Unimplemented) embedding input only support int32 and int64, but get float32", "f4", WHOLE),
        ("mat1 and mat2 shapes cannot be multiplied (3x13 and 12x3)", "f4", SHAPE),
        ("index out of range in self: indices 40 of 30", "i8", SHAPE),
    ],
)
def test_remedy_follows_from_the_message(message: str, dtype: str, remedy: str) -> None:
    error = failed(RuntimeError(message), "it fails", {ONLY: np.zeros((3, 16), dtype)}, call)
    assert error.details[0].endswith(f"as input_shape=(16,) of the pair says: {remedy}")


def test_half_precision_that_is_not_there_is_no_matter_of_the_shape() -> None:
    error = failed(RuntimeError("not implemented"), "it fails", {ONLY: np.zeros((3, 16), "f2")}, call)
    assert error.details[0] == "given float16 (3, 16)"
