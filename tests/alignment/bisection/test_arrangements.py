"""Tensors that two models keep in another arrangement are found to hold the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.bisection.arrangements import Arrangements, arranged, distance, is_arranged


def image(seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ((0, 1, 2, 3), (2, 3, 20)),  # pixels as one axis
        ((0, 2, 3, 1), (2, 4, 5, 3)),  # channels last
        ((0, 2, 3, 1), (2, 20, 3)),  # tokens
        ((0, 1, 2, 3), (2, 1, 3, 4, 5)),  # an axis of length one more
    ],
)
def test_order_of_axes_is_found_from_the_numbers(axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    reference = image()
    candidate = arranged(reference, axes, shape) * (1 + 1e-4)  # rounding, or a small mistake before
    assert is_arranged(candidate, reference)
    assert Arrangements().find(candidate, reference) == axes


def test_first_axis_of_a_sequence_may_be_the_batch_or_not() -> None:
    reference = np.random.default_rng(1).standard_normal((2, 7, 3))
    assert Arrangements().find(reference.transpose(1, 0, 2), reference) == (1, 0, 2)


def test_other_numbers_have_no_order_and_get_the_usual_one() -> None:
    known = Arrangements()
    reference = image()
    assert known.find(image(7).reshape(2, 4, 5, 3), reference) is None
    assert known.usual(4, 4) is None
    assert known.find(reference.transpose(0, 2, 3, 1), reference) == (0, 2, 3, 1)
    assert known.usual(4, 4) == (0, 2, 3, 1)
    assert known.usual(4, 3) is None


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 4), (1, 1)])
def test_tensors_of_one_shape_or_of_another_size_are_not_arranged(shape: tuple[int, ...]) -> None:
    assert not is_arranged(np.zeros(shape), image())
    assert not is_arranged(np.zeros((1, 1)), np.zeros(1))


def test_distance_is_infinite_where_it_is_no_number() -> None:
    assert distance(np.full(3, np.nan), np.ones(3)) == np.inf
    assert distance(np.full(3, np.nan), np.full(3, np.nan)) == np.inf
    assert distance(np.zeros(3), np.zeros(3)) == 0.0
