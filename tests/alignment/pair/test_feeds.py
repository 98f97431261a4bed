"""Inputs are drawn so that they tell, and what a file holds is checked against them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alignment.errors import AlignmentError
from alignment.pair import Floats, Mask, Tokens
from alignment.pair.feeds import Feed


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("seed", range(5))
def test_ids_hold_the_special_ones_the_first_the_last_and_repeated_ones(seed: int) -> None:
    ids = Tokens(30522, (12,), special=(101, 102)).draw(np.random.default_rng(seed), 4)
    assert (ids.shape, ids.dtype.name) == ((4, 12), "int64")
    assert {0, 101, 102, 30521} <= set(ids.reshape(-1).tolist())
    assert (ids[:, 1:] == ids[:, :-1]).any()
    assert ids.min() >= 0
    assert ids.max() == 30521


@pytest.mark.parametrize(("shape", "batch"), [((), 1), ((), 3), ((1,), 2), ((2, 3), 2)])
def test_ids_of_any_shape_stay_in_range(shape: tuple[int, ...], batch: int) -> None:
    ids = Tokens(2, shape, dtype="int32").draw(_generator(), batch)
    assert (ids.shape, ids.dtype.name) == ((batch, *shape), "int32")
    assert set(ids.reshape(-1).tolist()) <= {0, 1}


def test_most_ids_are_drawn_evenly() -> None:
    ids = Tokens(1000, (512,)).draw(_generator(), 4)
    assert np.isin(ids, (0, 999)).mean() < 0.15
    assert len(np.unique(ids)) > 700


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(("shape", "batch"), [((6,), 4), ((6,), 1), ((2, 5), 3)])
def test_a_mask_has_a_padded_row_and_none_of_zeros_only(shape: tuple[int, ...], batch: int, left: bool) -> None:
    mask = Mask(shape, left=left).draw(_generator(), batch)
    assert (mask.shape, mask.dtype.name) == ((batch, *shape), "int64")
    assert (mask.sum(-1) > 0).all()
    assert (mask == 0).any()
    assert mask[..., -1 if left else 0].all()
    assert mask[0].all() == (batch > 1)
    steps = np.diff(mask, axis=-1)
    assert (steps >= 0).all() if left else (steps <= 0).all()


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "float32"])
def test_a_mask_has_its_dtype(dtype: str) -> None:
    assert Mask((4,), dtype=dtype).draw(_generator(), 2).dtype == dtype
    assert Mask((1,)).draw(_generator(), 3).tolist() == [[1], [1], [1]]


def test_every_second_mask_from_query_to_key_is_causal() -> None:
    mask = Mask((5, 5), dtype="bool").draw(_generator(), 4)
    assert mask[0].all()
    for row in mask[1::2]:
        assert not np.triu(row, 1).any()
        assert row[:, 0].all()
    assert (mask[2] == mask[2][0]).all()
    assert (Mask((5, 5), left=True).draw(_generator(), 2)[:, :, -1] == 1).all()


def test_floats_are_normal_and_shifted_by_channel_or_within_bounds() -> None:
    normal = Floats((3, 64, 64)).draw(_generator(), 2)
    assert normal.dtype == np.float32
    assert np.all(np.diff(normal.mean((0, 2, 3))) > 0.02)
    even = Floats((100,), 0.0, 1.0).draw(_generator(), 2)
    assert even.min() >= 0
    assert even.max() < 1
    assert Floats(()).draw(_generator(), 3).shape == (3,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tokens(0, (3,)), "Tokens of 0 ids"),
        (lambda: Tokens(10, (0,)), r"Tokens of shape \(0,\): expected positive integers"),
        (lambda: Tokens(10, (3,), special=(10,)), "the special id 10 is not from 0 to 9"),
        (lambda: Tokens(10, (3,), dtype="float32"), "Tokens in 'float32': expected one of int64, int32"),
        (lambda: Mask(()), r"Mask of shape \(\)"),
        (lambda: Mask((3,), dtype="int8"), "expected one of int64, int32, bool, float32"),
        (lambda: Floats((3, -1)), "expected positive integers"),
        (lambda: Floats((3,), low=1.0), "give both bounds"),
        (lambda: Floats((3,), low=1.0, high=1.0), "the lower one first"),
    ],
)
def test_an_input_that_makes_no_sense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        make()


@pytest.mark.parametrize(
    ("feed", "array", "problem"),
    [
        (Tokens(10, (2,)), np.array([[0, 9]]), ""),
        (Tokens(10, (2,)), np.array([[0, 10]]), "goes from 0 to 10, expected integers from 0 to 9"),
        (Tokens(10, (2,)), np.array([[0.0, 1.0]]), "is float64, expected integers"),
        (Mask((2,)), np.array([[True, False]]), ""),
        (Mask((2,)), np.array([[2, 0]]), "with values other than 0 and 1"),
        (Floats((2,)), np.array([[1, 2]]), "is int64, expected normalised floating-point values"),
        (Floats((2,)), np.array([[1.0, np.nan]]), "not finite"),
        (Floats((2,), 0.0, 1.0), np.array([[0.0, 2.0]]), "goes from 0 to 2, expected 0.0 to 1.0"),
    ],
)
def test_what_is_wrong_with_given_values_is_said(feed: Feed, array: Any, problem: str) -> None:
    assert problem in feed.problem(array)
    assert bool(feed.problem(array)) == bool(problem)


def test_given_values_get_the_dtype_of_the_input() -> None:
    assert Tokens(10, (2,), dtype="int32").convert(np.array([[0, 9]])).dtype == np.int32
    assert Mask((2,), dtype="bool").convert(np.array([[1, 0]])).tolist() == [[True, False]]
    assert Floats(4).convert(np.ones((1, 4))).dtype == np.float32  # type: ignore[arg-type]  # one number is one axis
