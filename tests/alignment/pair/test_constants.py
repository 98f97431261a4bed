"""Constants are kept to the bit, and those that a candidate builds itself are compared."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from alignment.arrays import Array
from alignment.pair.constants import recordable, remarks, same_but_for_rounding
from alignment.pair.contract import Contract
from alignment.pair.model_description import TensorInfo, pack
from alignment.rules.derive import derive
from tests.alignment.models_in_words import layer, linear, model


def _built(reference: Array, candidate: Array) -> Contract:
    sides = []
    for array in (reference, candidate):
        module, _ = layer("", "Net", base="", mean=array.shape)
        info = TensorInfo(array.shape, array.dtype.name, buffer=True, values=pack(array))
        sides.append(model((module, {"mean": info}), linear("fc", 4, 6)))
    return derive(sides[0], sides[1], [], auto=True)


@pytest.mark.parametrize(
    "array",
    [
        np.array([True, False]),
        np.array([-np.inf, np.nan, -0.0], np.float32),
        np.array(2**62 + 1),
        np.zeros((0, 3), np.float32),
        np.array([1.5, 3e38], ml_dtypes.bfloat16),
    ],
)
def test_constants_are_kept_to_the_bit(array: Array) -> None:
    found = TensorInfo(array.shape, array.dtype.name, buffer=True, values=pack(array)).constant
    assert found is not None
    assert found.astype(array.dtype).tobytes() == array.tobytes()
    assert found.shape == array.shape


def test_a_tensor_without_elements_is_a_constant_that_is_left_out() -> None:
    contract = _built(np.zeros(0, np.float32), np.zeros(0, np.float32))
    assert not contract.architecture("own", (6,)).statistics
    assert list(remarks(contract, of_file=False)) == ["tensors without elements are not compared: mean"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            np.array([0.5, 1.0], np.float32),
            "the candidate builds other constants than the reference: mean; both sides run",
        ),
        (np.array([0.25000003, 1.0], np.float32), "are the reference's but for rounding: mean"),
        (np.array([0.25, 1.0], np.float32), ""),
    ],
)
def test_the_report_says_how_constants_differ(other: Array, words: str) -> None:
    found = list(remarks(_built(np.array([0.25, 1.0], np.float32), other), of_file=False))
    assert words in (found or [""])[0]
    assert bool(found) == bool(words)


def test_constants_with_infinities_are_recorded_by_their_bits() -> None:
    mask, other = np.array([0, -np.inf], np.float32), np.array([-np.inf, 0], np.float32)
    assert not same_but_for_rounding(mask, other)
    assert recordable(mask, mask).dtype == recordable(other, mask).dtype == np.uint32
    assert not np.array_equal(recordable(mask, mask), recordable(other, mask))
    assert same_but_for_rounding(mask, mask.copy())


@pytest.mark.parametrize("value", [np.array([1, 2]), np.array([1, 2], np.int32)])
def test_integers_are_recorded_in_one_width(value: Array) -> None:
    assert recordable(value, value).dtype == np.int64
